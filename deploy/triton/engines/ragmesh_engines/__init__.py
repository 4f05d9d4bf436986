"""Compiles every ONNX graph of the model repository into a TensorRT-RTX engine. `make engines`; needs no GPU.

One graph goes through these steps, one module each:

    profiles       engines.json beside the graph: which shapes it must take
    dequantise     int8 weights to fp32, exactly as shipped; TensorRT takes no DynamicQuantizeLinear or MatMulInteger
    half           matrix products in fp16; everything else stays fp32
    difference     the result against the graph that is served, both on a CPU
    compiling      TensorRT's parser and builder
    configs        names, shapes and profiles against config.pbtxt; the model repository of a full Triton image

The graphs of the shipped weights are what is compiled, so no second set of weights is trained or shipped. What the models need at
run time (the manifest) is in `ragmesh_models.engine_files`.
"""
