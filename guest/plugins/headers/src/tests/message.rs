//! A stream without a proxy.

use std::cell::RefCell;

use plugin_matching::Request;
use serde_json::Value;
use tidegate_guest::{ConfigError, read_config};

use crate::config::{Config, Plan};
use crate::edit::Target;
use crate::source::{Message, Source};

/// A message: its fields, and what else is known about the stream.
#[derive(Default)]
pub struct Listed {
    pub fields: RefCell<Vec<(String, Vec<u8>)>>,
    /// The request, in a response.
    pub request: Option<Vec<(String, Vec<u8>)>>,
    /// By their paths, joined with dots.
    pub properties: Vec<(String, Vec<u8>)>,
}

pub fn fields(fields: &[(&str, &str)]) -> Vec<(String, Vec<u8>)> {
    fields
        .iter()
        .map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec()))
        .collect()
}

pub fn request(list: &[(&str, &str)]) -> Listed {
    Listed {
        fields: RefCell::new(fields(list)),
        ..Listed::default()
    }
}

pub fn response(request: &[(&str, &str)], list: &[(&str, &str)]) -> Listed {
    Listed {
        fields: RefCell::new(fields(list)),
        request: Some(fields(request)),
        ..Listed::default()
    }
}

impl Listed {
    pub fn with(mut self, path: &str, value: impl AsRef<[u8]>) -> Self {
        self.properties
            .push((path.to_owned(), value.as_ref().to_vec()));
        self
    }

    /// All fields as lines.
    pub fn lines(&self) -> Vec<String> {
        let fields = self.fields.borrow();
        fields
            .iter()
            .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value)))
            .collect()
    }
}

fn first(fields: &[(String, Vec<u8>)], name: &str) -> Option<Vec<u8>> {
    fields
        .iter()
        .find(|(other, _)| other == name)
        .map(|(_, value)| value.clone())
}

impl Target for Listed {
    fn values(&self, name: &str) -> Vec<Vec<u8>> {
        let fields = self.fields.borrow();
        fields
            .iter()
            .filter(|(other, _)| other == name)
            .map(|(_, value)| value.clone())
            .collect()
    }

    fn names(&self) -> Vec<String> {
        self.fields
            .borrow()
            .iter()
            .map(|(name, _)| name.clone())
            .collect()
    }

    fn set(&self, name: &str, value: &[u8]) {
        // As in a proxy, the first value keeps its place.
        let mut fields = self.fields.borrow_mut();
        match fields.iter().position(|(other, _)| other == name) {
            Some(index) => {
                fields[index].1 = value.to_vec();
                let mut place = 0;
                fields.retain(|(other, _)| {
                    place += 1;
                    other != name || place == index + 1
                });
            }
            None => fields.push((name.to_owned(), value.to_vec())),
        }
    }

    fn append(&self, name: &str, value: &[u8]) {
        self.fields
            .borrow_mut()
            .push((name.to_owned(), value.to_vec()));
    }

    fn remove(&self, name: &str) {
        self.fields.borrow_mut().retain(|(other, _)| other != name);
    }
}

impl Source for Listed {
    fn field(&self, message: Message, name: &str) -> Option<Vec<u8>> {
        match (message, &self.request) {
            (Message::Request, Some(request)) => first(request, name),
            (Message::Request, None) | (Message::Response, Some(_)) => {
                first(&self.fields.borrow(), name)
            }
            _ => None,
        }
    }

    fn property(&self, path: &[&str]) -> Option<Vec<u8>> {
        first(&self.properties, &path.join("."))
    }
}

impl Request for Listed {
    fn header(&self, name: &str) -> Option<Vec<u8>> {
        self.field(Message::Request, name)
    }

    fn property(&self, path: &[&str]) -> Option<Vec<u8>> {
        Source::property(self, path)
    }
}

pub fn plan(config: Value) -> Result<Plan, ConfigError> {
    read_config::<Config>(config.to_string().as_bytes())?.build()
}

/// A plan of a configuration that is good.
#[track_caller]
pub fn good(config: Value) -> Plan {
    plan(config).expect("a good configuration")
}
