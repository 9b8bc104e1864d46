//! [`Place`]: where in a configuration a value is. Its path is written only for an error.

use tidegate_guest::ConfigError;

/// The place of a value.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    parent: Option<&'a Place<'a>>,
    step: Step,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Field(&'static str),
    Element(usize),
}

impl Place<'_> {
    /// The whole configuration.
    pub const ROOT: Place<'static> = Place {
        parent: None,
        step: Step::Field(""),
    };

    /// The place of a field.
    pub fn field(&self, name: &'static str) -> Place<'_> {
        Place {
            parent: Some(self),
            step: Step::Field(name),
        }
    }

    /// The place of an element.
    pub fn element(&self, index: usize) -> Place<'_> {
        Place {
            parent: Some(self),
            step: Step::Element(index),
        }
    }

    /// An error about this place.
    pub fn refuse(&self, reason: &str) -> ConfigError {
        let mut path = String::new();
        self.write(&mut path);
        ConfigError::at(path, reason)
    }

    fn write(&self, path: &mut String) {
        if let Some(parent) = self.parent {
            parent.write(path);
            match self.step {
                Step::Field(name) => {
                    if !path.is_empty() {
                        path.push('.');
                    }
                    path.push_str(name);
                }
                Step::Element(index) => {
                    path.push('[');
                    path.push_str(&index.to_string());
                    path.push(']');
                }
            }
        }
    }
}
