raise RuntimeError("it was never finished")
