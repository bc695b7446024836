"""Object stores: what their faults mean, trying again, reading by ranges ahead of the work, uploading beside it.

`dataproc.storage` is the way in; local paths never come here.
"""
