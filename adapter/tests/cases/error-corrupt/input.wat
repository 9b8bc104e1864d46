;; Its code is not valid: a function that is to give a number gives none.
(component
    (core module (func (result i32))))
