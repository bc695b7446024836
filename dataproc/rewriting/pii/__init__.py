"""Personal data in documents: e-mail and IP addresses, phone numbers and secret keys, found and replaced."""
