"""A dishonest server: certificates and keys that are not what they should be."""
