"""The field's datasets as their official archives unpack; nothing is downloaded."""
