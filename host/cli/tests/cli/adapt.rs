//! `adapt` and `inspect`: input and output files. Adapting itself is tested with the adapter.

use std::fs;

use crate::tool::{
    Folder, PATIENCE, component, component_of, module, text, tidegate, tidegate_with,
};

/// The first bytes of every core module.
const CORE_MODULE: &[u8] = b"\0asm\x01\0\0\0";

#[test]
fn adapt_writes_a_module_that_inspect_recognizes() {
    let folder = Folder::new();
    let output = text(&folder.path("out.wasm"));
    let done = tidegate(["adapt", &folder.file("in.wasm", component()), "-o", &output]);
    assert!(done.succeeds().is_empty());
    assert!(
        done.stderr.starts_with("adapted ") && done.stderr.contains("out.wasm"),
        "{}",
        done.stderr
    );
    assert!(
        fs::read(&output)
            .expect("the module")
            .starts_with(CORE_MODULE)
    );
    assert_eq!(folder.names(), ["in.wasm", "out.wasm"]);
    let done = tidegate(["inspect", &output, "--format", "json"]);
    let json: serde_json::Value = serde_json::from_slice(done.succeeds()).expect("JSON");
    assert_eq!(
        (&json["kind"], &json["abi"]),
        (&"proxy-wasm".into(), &"0.2.1".into())
    );
}

#[test]
fn adapt_reads_stdin_and_writes_stdout() {
    let done = tidegate_with(["adapt", "-", "-o", "-"], &component());
    assert!(done.succeeds().starts_with(CORE_MODULE));
    assert_eq!(done.stderr, "");
    let done = tidegate_with(["inspect", "-"], &done.stdout);
    assert!(String::from_utf8_lossy(done.succeeds()).contains("Proxy-Wasm module"));
}

#[test]
fn adapt_strip_names_shrinks_the_module() {
    let with = tidegate_with(["adapt", "-", "-o", "-"], &component());
    let without = tidegate_with(["adapt", "-", "-o", "-", "--strip-names"], &component());
    assert!(without.succeeds().len() < with.succeeds().len());
}

/// A plugin that opens files is adapted, with a warning that the calls will fail.
#[test]
fn adapt_warns_about_imports_proxies_do_not_provide() {
    let component = component_of(
        "package cli:test;
        world plugin {
            include tidegate:proxy/all@0.1.0;
            import wasi:clocks/monotonic-clock@0.2.0;
            import wasi:filesystem/preopens@0.2.0;
            import wasi:made-up/things@0.2.0;
        }
        package wasi:clocks@0.2.0 {
            interface monotonic-clock { now: func() -> u64; }
        }
        package wasi:filesystem@0.2.0 {
            interface types { resource descriptor; }
            interface preopens {
                use types.{descriptor};
                get-directories: func() -> list<tuple<descriptor, string>>;
            }
        }
        package wasi:made-up@0.2.0 {
            interface things { count: func() -> u32; }
        }",
    );
    let done = tidegate_with(["adapt", "-", "-o", "-"], &component);
    assert!(done.succeeds().starts_with(CORE_MODULE));
    assert_eq!(
        done.stderr,
        "`wasi:filesystem/preopens.get-directories` fails at run time: proxies do not provide it\n\
         `wasi:made-up/things.count` traps at run time: proxies do not provide it\n"
    );
}

#[test]
fn adapt_reports_unwritable_output() {
    let folder = Folder::new();
    let input = folder.file("in.wasm", component());
    let adapt = |output: &str| tidegate(["adapt", &input, "-o", output]);
    adapt(&text(&folder.path("none/out.wasm"))).lacks(&[
        "cannot write",
        "none/out.wasm`: the directory `",
        "none` does not exist\n",
    ]);
    adapt(&text(&folder.path(""))).lacks(&["cannot write"]);
    let below_a_file = adapt(&format!("{input}/out.wasm"));
    below_a_file.lacks(&["cannot write", "in.wasm/out.wasm"]);
    assert!(
        !below_a_file.stderr.contains(".tidegate-"),
        "{}",
        below_a_file.stderr
    );
    assert_eq!(folder.names(), ["in.wasm"]);
}

#[cfg(unix)]
#[test]
fn adapt_writes_through_a_symlink() {
    let folder = Folder::new();
    let input = folder.file("in.wasm", component());
    fs::create_dir(folder.path("real")).expect("a folder");
    fs::write(folder.path("real/out.wasm"), "old").expect("a file");
    std::os::unix::fs::symlink(folder.path("real/out.wasm"), folder.path("link.wasm"))
        .expect("a link");
    tidegate(["adapt", &input, "-o", &text(&folder.path("link.wasm"))]).succeeds();
    assert!(
        fs::read(folder.path("real/out.wasm"))
            .expect("the module")
            .starts_with(CORE_MODULE)
    );
    assert!(folder.path("link.wasm").is_symlink());
}

#[cfg(unix)]
#[test]
fn adapt_writes_to_a_named_pipe() {
    let folder = Folder::new();
    let input = folder.file("in.wasm", component());
    let pipe = folder.path("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.expect("the command `mkfifo`").success());
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn({
        let pipe = pipe.clone();
        move || sender.send(fs::read(pipe))
    });
    tidegate(["adapt", &input, "-o", &text(&pipe)]).succeeds();
    let read = receiver
        .recv_timeout(PATIENCE)
        .expect("the end of the pipe")
        .expect("a module");
    assert!(read.starts_with(CORE_MODULE));
}

#[test]
fn adapt_reports_unreadable_or_invalid_input() {
    let folder = Folder::new();
    let output = text(&folder.path("out.wasm"));
    let adapt = |input: &str| tidegate(["adapt", input, "-o", &output]);
    adapt(&text(&folder.path("none.wasm"))).lacks(&["cannot read", "none.wasm", "No such file"]);
    adapt(&text(&folder.path(""))).lacks(&["cannot read", "directory"]);
    adapt(&folder.file("empty.wasm", "")).fails_with(&["cannot adapt", "empty.wasm", "truncated"]);
    adapt(&folder.file("text.wasm", "(module)")).fails_with(&[
        "cannot adapt",
        "text.wasm",
        "not a WebAssembly binary",
    ]);
    adapt(&folder.module("module.wasm")).fails_with(&[
        "cannot adapt",
        "module.wasm",
        "already a Proxy-Wasm module",
    ]);
    assert!(!folder.names().contains(&"out.wasm".to_owned()));
}

#[test]
fn adapt_errors_name_stdin() {
    tidegate_with(["adapt", "-", "-o", "-"], b"").fails_with(&["cannot adapt stdin"]);
    tidegate_with(["adapt", "-", "-o", "-"], &module())
        .fails_with(&["stdin", "already a Proxy-Wasm module"]);
}

#[test]
fn adapt_keeps_existing_output_on_failure() {
    let folder = Folder::new();
    let output = folder.file("out.wasm", "as it was");
    tidegate([
        "adapt",
        &folder.file("broken.wasm", "\0asm\x0d\0\x01\0broken"),
        "-o",
        &output,
    ])
    .fails_with(&["broken.wasm"]);
    assert_eq!(fs::read(&output).expect("the file"), b"as it was");
    assert_eq!(folder.names(), ["broken.wasm", "out.wasm"]);
}

#[test]
fn inspect_describes_a_module() {
    let folder = Folder::new();
    let path = folder.module("module.wasm");
    let done = tidegate(["inspect", &path]);
    let shown = String::from_utf8(done.succeeds().to_vec()).expect("UTF-8");
    assert!(
        shown.contains("Proxy-Wasm module") && shown.contains("proxy_add_header_map_value"),
        "{shown}"
    );
    let done = tidegate_with(["inspect", "-", "--format", "json"], &module());
    let json: serde_json::Value = serde_json::from_slice(done.succeeds()).expect("JSON");
    assert_eq!(json["kind"], "proxy-wasm");
    assert_eq!(json["size"]["total"], module().len());
}

#[test]
fn inspect_reports_invalid_or_missing_input() {
    let folder = Folder::new();
    tidegate(["inspect", &folder.file("text.wasm", "hello")]).fails_with(&[
        "cannot inspect",
        "text.wasm",
        "not a WebAssembly binary",
    ]);
    tidegate(["inspect", "/none/of/these.wasm"]).lacks(&["cannot read `/none/of/these.wasm`"]);
}
