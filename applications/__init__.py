"""Tasks around the zoo: data, training, evaluation, reports and the command line (TensorFlow only)."""
