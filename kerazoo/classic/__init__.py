"""Networks from before the convolution: perceptron and multi-layer perceptron."""
