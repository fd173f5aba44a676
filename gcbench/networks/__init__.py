"""Networks: the U-Net and the text encoders."""
