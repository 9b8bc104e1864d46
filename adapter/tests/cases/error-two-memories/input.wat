(component
    (core module $m (memory (export "memory") 1))
    (core instance (instantiate $m))
    (core instance (instantiate $m)))
