"""Model families: one file each, data only. The table that lists them is `allmend.model.shapes.FAMILIES`."""
