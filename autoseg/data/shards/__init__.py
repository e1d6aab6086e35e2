"""Images and masks in tar archives, as the webdataset library writes them."""
