"""Networks from before the convolution: perceptron, adaline, multi-layer perceptron and radial basis functions."""
