"""Networks that train against each other: generators and the discriminators that judge them."""
