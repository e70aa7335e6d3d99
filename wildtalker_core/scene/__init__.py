"""The narrow waist: everything known per frame, equal lengths guaranteed."""
