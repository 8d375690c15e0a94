"""What a trained run is worth: its accuracy, its probes, how alike its representations are."""
