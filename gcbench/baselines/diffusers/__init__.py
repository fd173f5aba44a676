"""Any text-to-image pipeline of the library diffusers as a model: `--model diffusers:PATH_OR_HUB_ID[@REVISION]`.

`place` finds the files and their hash, `guidance` knows what a pipeline's scales mean, `opening` loads pipeline,
scheduler, LoRA and ControlNet, `palette` paints the layouts that a ControlNet is given, `model` is the baseline.
"""
