"""Text from a trained model: decoding from MLA's latents, sampling, drafts by MTP."""
