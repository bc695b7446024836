"""What a run reports about itself: metrics, throughput, evaluation, loss spikes, TensorBoard."""
