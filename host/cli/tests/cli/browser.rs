//! A headless Chromium, driven through the DevTools protocol over a pair of pipes.
//!
//! Pipes need neither a port nor a WebSocket library: messages are JSON, terminated by a zero byte. Every wait polls a condition in the
//! page, and has a time limit.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;

use serde_json::{Value, json};

use crate::tool::PATIENCE;

/// A browser with one page.
pub struct Browser {
    child: Child,
    into: ChildStdin,
    from: Receiver<Value>,
    session: Option<String>,
    next: u64,
    /// Errors that the page has reported: on the console, exceptions, violations of its content security policy.
    complaints: VecDeque<String>,
    _profile: tempfile::TempDir,
}

/// Possible names of the browser, in order of preference.
const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "chrome"];

impl Browser {
    /// Starts the browser.
    pub fn start() -> Self {
        let program = find().expect("`chromium` on PATH, which this test needs");
        let profile = tempfile::tempdir().expect("a folder");
        // The protocol uses the descriptors 3 and 4.
        let mut child = Command::new("sh")
            .args(["-c", r#"exec "$@" 3<&0 4>&1 </dev/null >/dev/null"#, "sh"])
            .arg(program)
            .args([
                "--headless",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--disable-background-networking",
                "--no-first-run",
                // The sandbox is not available to root, and in most containers. The browser opens only our page.
                "--no-sandbox",
                "--remote-debugging-pipe",
                "--window-size=1280,900",
            ])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("a shell");
        let into = child.stdin.take().expect("a stdin");
        let mut from = BufReader::new(child.stdout.take().expect("a stdout"));
        let (sender, receiver) = channel();
        std::thread::spawn(move || {
            let mut message = Vec::new();
            while from.read_until(0, &mut message).is_ok_and(|read| read > 0) {
                message.pop();
                if let Ok(message) = serde_json::from_slice(&message)
                    && sender.send(message).is_err()
                {
                    return;
                }
                message.clear();
            }
        });
        let mut browser = Self {
            child,
            into,
            from: receiver,
            session: None,
            next: 0,
            complaints: VecDeque::new(),
            _profile: profile,
        };
        let target = browser.call("Target.createTarget", json!({ "url": "about:blank" }));
        let target = json!({ "targetId": target["targetId"], "flatten": true });
        let session = browser.call("Target.attachToTarget", target);
        browser.session = session["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Log", "Audits"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        browser
    }

    /// Opens an address, and waits until the condition holds there.
    pub fn open(&mut self, url: &str, until: &str) {
        self.call("Page.navigate", json!({ "url": url }));
        self.wait(until);
    }

    /// Runs a script in each page before its own ones.
    pub fn prepare(&mut self, script: &str) {
        self.call(
            "Page.addScriptToEvaluateOnNewDocument",
            json!({ "source": script }),
        );
    }

    /// What an expression gives in the page.
    pub fn eval(&mut self, expression: &str) -> Value {
        let mut done = self.call(
            "Runtime.evaluate",
            json!({ "expression": expression, "returnByValue": true, "awaitPromise": true }),
        );
        assert!(
            done["exceptionDetails"].is_null(),
            "{expression}: {}",
            done["exceptionDetails"]
        );
        done["result"]["value"].take()
    }

    /// Evaluates an expression that returns a string.
    pub fn text(&mut self, expression: &str) -> String {
        match self.eval(expression) {
            Value::String(text) => text,
            other => other.to_string(),
        }
    }

    /// Waits until a condition holds in the page.
    #[track_caller]
    pub fn wait(&mut self, condition: &str) {
        let begun = Instant::now();
        // While a page is loading, there may be no context.
        let guarded =
            format!("(() => {{ try {{ return !!({condition}) }} catch {{ return false }} }})()");
        while begun.elapsed() < PATIENCE {
            if self.eval(&guarded) == Value::Bool(true) {
                return;
            }
            // Responses arrive after the page has been rendered again.
            self.eval("new Promise(done => setTimeout(done, 20))");
        }
        let page = self.text("document.body.innerText");
        panic!("`{condition}` does not come to hold in:\n{page}");
    }

    /// Presses and releases a key, by its name.
    pub fn press(&mut self, key: &str) {
        let (code, text) = match key {
            "Enter" => (13, "\r"),
            "Escape" => (27, ""),
            "Tab" => (9, ""),
            "ArrowDown" => (40, ""),
            "ArrowUp" => (38, ""),
            letter => (0, letter),
        };
        let mut down = json!({ "type": "keyDown", "key": key, "windowsVirtualKeyCode": code });
        if !text.is_empty() {
            down["text"] = text.into();
        }
        self.call("Input.dispatchKeyEvent", down);
        let up = json!({ "type": "keyUp", "key": key, "windowsVirtualKeyCode": code });
        self.call("Input.dispatchKeyEvent", up);
    }

    /// Types a text.
    pub fn type_in(&mut self, text: &str) {
        self.call("Input.insertText", json!({ "text": text }));
    }

    /// Emulates the preference for a `light` or `dark` color scheme.
    pub fn prefer(&mut self, scheme: &str) {
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }, { "name": "prefers-reduced-motion", "value": "reduce" }]);
        self.call(
            "Emulation.setEmulatedMedia",
            json!({ "features": features }),
        );
    }

    /// Resizes the page.
    pub fn resize(&mut self, width: u32, height: u32) {
        self.call(
            "Emulation.setDeviceMetricsOverride",
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false }),
        );
    }

    /// Asserts that the page has reported no errors.
    #[track_caller]
    pub fn is_content(&mut self) {
        // All earlier reports have arrived before this response.
        self.eval("0");
        assert!(self.complaints.is_empty(), "{:#?}", self.complaints);
    }

    /// Whether the page has reported errors.
    pub fn complains(&mut self) -> bool {
        self.eval("0");
        !self.complaints.is_empty()
    }

    /// Calls a method of the protocol.
    #[track_caller]
    fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.next += 1;
        let mut message = json!({ "id": self.next, "method": method, "params": parameters });
        if let Some(session) = &self.session {
            message["sessionId"] = session.as_str().into();
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.into.write_all(&bytes).expect("a browser that runs");
        loop {
            let mut answer = self.from.recv_timeout(PATIENCE).expect("an answer");
            if answer["id"] == self.next {
                assert!(answer["error"].is_null(), "{method}: {answer}");
                return answer["result"].take();
            }
            self.note(&answer);
        }
    }

    fn note(&mut self, event: &Value) {
        let parameters = &event["params"];
        let bad = match event["method"].as_str() {
            Some("Runtime.exceptionThrown" | "Audits.issueAdded") => true,
            Some("Runtime.consoleAPICalled") => parameters["type"] == "error",
            Some("Log.entryAdded") => parameters["entry"]["level"] == "error",
            _ => false,
        };
        if bad {
            self.complaints.push_back(parameters.to_string());
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // A graceful shutdown also ends its child processes.
        self.session = None;
        let _ = self
            .into
            .write_all(b"{\"id\":0,\"method\":\"Browser.close\"}\0");
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE / 6 {
            if matches!(self.child.try_wait(), Ok(Some(_)) | Err(_)) {
                return;
            }
            std::thread::yield_now();
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn find() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let mut all = NAMES
        .iter()
        .flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    all.find(|file| file.is_file())
}
