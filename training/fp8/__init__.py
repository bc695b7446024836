"""FP8 training as in DeepSeek-V3's section 3.3: quantisation, products by several back ends, the recipe."""
