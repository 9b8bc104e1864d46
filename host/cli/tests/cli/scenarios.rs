//! `tidegate test`: selection, output, and updates.
//!
//! Most tests use a small Proxy-Wasm module, which needs no compiler. A component tests both engines.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tidegate_components::workspace;
use tidegate_testkit::envoy::Release;

use crate::author::tidegate_in;
use crate::binary;
use crate::envoy::{envoy, plugin};
use crate::tool::{Done, Folder, text};

const PASSES: &str = "about: The response is marked.
configuration: told
start: { logs: ['plugin info told'] }
steps:
- request: { path: /, expect: { status: 200, headers: { x-plugin: [here] } } }
";

const FAILS: &str = "about: Much is wrong here.
upstream:
- { path: /, status: 202, headers: [[x-a, \"\\xff\"]], body: \"one\\nthree\\n\" }
steps:
# Before the request.
- request:
    path: /        # the root
    expect:
      status: 200  # not so
      headers: { x-plugin: [here], x-a: [b], x-none: [c] }
      body: |
        one
        two
      upstream: none
";

/// A directory with a plugin and these scenarios.
fn project(scenarios: &[(&str, &str)]) -> Folder {
    let folder = Folder::new();
    folder.module("plugin.wasm");
    fs::create_dir(folder.path("scenarios")).expect("a folder");
    for (name, text) in scenarios {
        let path = folder.path(&format!("scenarios/{name}.yaml"));
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, text).expect("a scenario");
    }
    folder
}

fn test(folder: &Folder, more: &[&str]) -> Done {
    let mut args = vec!["test", "--plugin", "plugin.wasm"];
    args.extend(more);
    tidegate_in(&folder.path(""), &args)
}

/// `--profile` is for scenarios without a `profile`.
#[test]
fn profile_of_a_scenario_takes_precedence() {
    let steps = "steps: [{ request: { path: /x/../a, expect: { upstream: { path: /a } } } }]";
    let folder = project(&[
        ("default", &format!("about: x\n{steps}\n")),
        ("own", &format!("about: x\nprofile: istio\n{steps}\n")),
    ]);
    for (profile, passed) in [("envoy", ["failed", "passed"]), ("istio", ["passed"; 2])] {
        let arguments = ["--format", "json", "--runtime", "proxy-wasm"];
        let done = test(&folder, &[&arguments[..], &["--profile", profile]].concat());
        let report: Value = serde_json::from_slice(&done.stdout).expect("JSON");
        let results = [0, 1].map(|number| &report["tests"][number]["result"]);
        assert_eq!(results, passed, "{profile}: {report:#}");
    }
}

/// A scenario that cannot be run: the plugin cannot be loaded.
#[test]
fn scenario_that_cannot_be_run_is_reported_as_an_error() {
    let folder = project(&[("marks", PASSES)]);
    folder.file("plugin.wasm", b"\0asm\x01\0\0\0");
    let done = test(&folder, &["--format", "json", "--runtime", "proxy-wasm"]);
    assert_eq!(done.status.code(), Some(1), "{}", done.stderr);
    let report: Value = serde_json::from_slice(&done.stdout).expect("JSON");
    let test = &report["tests"][0];
    assert_eq!(test["result"], "error", "{report:#}");
    assert!(test["error"].is_string(), "{report:#}");
}

/// A response that does not have the announced size would otherwise be reported as a failed request.
#[test]
fn body_of_the_wrong_size_is_the_reason_of_the_failure() {
    let folder = project(&[(
        "grows",
        "about: A body grows.
upstream: [{ path: /, headers: [[content-length, \"2\"]], body: hi }]
steps:
- request: { path: /, expect: { status: 200 } }
",
    )]);
    let module = wat::parse_str(
        r#"(module
          (import "env" "proxy_set_buffer_bytes"
            (func $append (param i32 i32 i32 i32 i32) (result i32)))
          (memory (export "memory") 1)
          (data (i32.const 0) "more")
          (func (export "proxy_abi_version_0_2_1"))
          (func (export "proxy_on_memory_allocate") (param i32) (result i32) i32.const 4096)
          (func (export "proxy_on_context_create") (param i32 i32))
          (func (export "proxy_on_response_body") (param i32 i32 i32) (result i32)
            (if (local.get 2) (then
              (drop (call $append (i32.const 1) (local.get 1) (i32.const 0) (i32.const 0) (i32.const 4)))))
            i32.const 0))"#,
    );
    folder.file("plugin.wasm", module.expect("a module"));
    let done = test(&folder, &["--runtime", "proxy-wasm"]);
    assert_eq!(done.status.code(), Some(1), "{}", done.stderr);
    let told = String::from_utf8_lossy(&done.stdout);
    assert!(told.contains("a plugin made a mistake"), "{told}");
    assert!(
        told.contains("`content-length` of the response is 2"),
        "{told}"
    );
}

/// The output without durations.
fn timeless(text: &[u8]) -> String {
    let text = String::from_utf8(text.to_vec()).expect("text");
    let is_unit = |word: &str| ["ms", "s", "ms:", "s:"].contains(&word);
    let line = |line: &str| {
        let mut words: Vec<&str> = line.split(' ').collect();
        let time = words.windows(2).position(
            |pair| matches!(pair, [number, unit] if number.parse::<f64>().is_ok() && is_unit(unit)),
        );
        if let Some(at) = time {
            let unit = words.remove(at + 1);
            words[at] = if unit.ends_with(':') { "TIME:" } else { "TIME" };
        }
        words.join(" ")
    };
    text.lines().map(|it| line(it) + "\n").collect()
}

#[test]
fn failure_reports_location_expected_and_actual() {
    let folder = project(&[("marks", PASSES), ("wrong/all", FAILS)]);
    let done = test(
        &folder,
        &["--jobs", "1", "--runtime", "component,proxy-wasm"],
    );
    assert_eq!(done.status.code(), Some(1));
    assert_eq!(done.stderr, "error: 1 test failed\n");
    let said = timeless(&done.stdout);
    let (told, seen) = said.split_once("actual:\n").expect("a transcript");
    assert_eq!(
        told,
        "\
skip  marks  component  TIME: `plugin` is a Proxy-Wasm module, not a component
ok    marks  proxy-wasm  TIME
skip  wrong/all  component  TIME: `plugin` is a Proxy-Wasm module, not a component
FAIL  wrong/all  proxy-wasm  TIME

--- wrong/all  proxy-wasm
scenarios/wrong/all.yaml:9:7: step 1 (GET /): status
  expected 200
  got      202
scenarios/wrong/all.yaml:10:36: step 1 (GET /): header x-a
  expected \"b\"
  got      \"\\xff\"
scenarios/wrong/all.yaml:10:46: step 1 (GET /): header x-none
  expected \"c\"
  got      absent
scenarios/wrong/all.yaml:11:7: step 1 (GET /): body
  - expected, + got
    one\\n
  - two\\n
  + three\\n
scenarios/wrong/all.yaml:14:7: step 1, at upstream: request
  expected no request at the upstream
  got      GET /
",
        "{said}"
    );
    assert!(seen.contains("  GET / -> 202 {"), "{seen}");
    assert!(
        seen.ends_with("\n1 passed, 1 failed, 2 skipped, TIME\n"),
        "{seen}"
    );
}

#[test]
fn missing_scenarios_are_reported() {
    let folder = project(&[]);
    test(&folder, &["--list"]).fails_with(&["contains no scenario", "tidegate test --schema"]);
    test(&folder, &["none", "--list"]).fails_with(&["no scenario matches `none`"]);
    fs::remove_dir(folder.path("scenarios")).expect("an empty folder");
    test(&folder, &["--list"]).fails_with(&["the directory `scenarios` does not exist"]);
}

#[test]
fn scenarios_are_selected_by_name_directory_or_file() {
    let folder = project(&[("a/one", PASSES), ("a/two", PASSES), ("b", PASSES)]);
    let listed = |more: &[&str]| {
        let done = test(&folder, &[&["--list"], more].concat());
        let names = String::from_utf8(done.succeeds().to_vec()).expect("text");
        names
            .lines()
            .map(|line| line.split('\t').next().unwrap_or_default().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(listed(&[]), ["a/one", "a/two", "b"]);
    assert_eq!(listed(&["tw"]), ["a/two"]);
    assert_eq!(listed(&["a/tw"]), ["a/two"]);
    assert_eq!(listed(&["scenarios/b.yaml"]), ["b"]);
    assert_eq!(listed(&["scenarios/a", "one"]), ["one"]);
    let none = test(&folder, &["mars"]);
    none.fails_with(&["no scenario matches `mars`", "--list"]);
    for missing in ["a/mars.yaml", "./mars"] {
        test(&folder, &[missing]).lacks(&[missing]);
    }
}

#[test]
fn scenario_error_reports_its_location() {
    let folder = project(&[(
        "bad",
        "about: x\nsteps:\n- request: { path: /, boody: x }\n",
    )]);
    test(&folder, &[]).fails_with(&[
        "error: scenarios/bad.yaml:3:23: unknown field `boody`, expected one of method, path",
    ]);
    let empty = project(&[("empty", "about: x\nsteps: []\n")]);
    test(&empty, &[]).fails_with(&["scenarios/empty.yaml:2:1: missing field `steps`"]);
    let rejected = |text: &str, message: &str| {
        let text = format!("about: x\n{text}");
        let message = format!("error: scenarios/bad.yaml:{message}");
        test(&project(&[("bad", text.as_str())]), &[]).fails_with(&[message.as_str()]);
    };
    rejected(
        "steps:\n- request: { path: get }\n",
        "3:14: `get` is not a valid path: it must start with `/`",
    );
    rejected(
        "plugins: []\nsteps:\n- request: { path: / }\n",
        "2:1: `plugins` is empty",
    );
    rejected(
        "steps:\n- request: { path: /, expect: { status: 70000 } }\n",
        "3:41: `status`: expected an integer from 0 to 65535",
    );
}

#[test]
fn binary_does_not_contain_build_paths() {
    let tool = fs::read(binary::path()).expect("the tool");
    // Only the tests of this repository use the location of the guests.
    let folder = text(&workspace::root().join("tests"));
    let is_told = tool
        .windows(folder.len())
        .any(|window| window == folder.as_bytes());
    assert!(!is_told, "the tool knows of {folder}");
}

#[test]
fn json_and_junit_reports_contain_the_results() {
    let folder = project(&[("marks", PASSES), ("wrong", FAILS)]);
    let done = test(&folder, &["--format", "json"]);
    assert_eq!(done.status.code(), Some(1));
    assert!(
        done.stderr.contains("1 passed, 1 failed, 2 skipped"),
        "{}",
        done.stderr
    );
    let report: Value = serde_json::from_slice(&done.stdout).expect("JSON");
    let results: Vec<_> = report["tests"]
        .as_array()
        .expect("tests")
        .iter()
        .map(|test| {
            let text = |key: &str| test[key].as_str().expect("text").to_owned();
            (text("scenario"), text("runtime"), text("result"))
        })
        .collect();
    let each = |scenario: &str, result: &str| {
        [("component", "skipped"), ("proxy-wasm", result)]
            .map(|(runtime, result)| (scenario.to_owned(), runtime.to_owned(), result.to_owned()))
    };
    assert_eq!(
        results,
        [each("marks", "passed"), each("wrong", "failed")].concat()
    );
    let first = &report["tests"][3]["mismatches"][0];
    assert_eq!(
        (&first["line"], &first["expected"], &first["actual"]),
        (&9.into(), &"200".into(), &"202".into())
    );
    assert_eq!(first["field"], "steps[0].request.expect.status");

    let done = test(&folder, &["--format", "junit", "--output", "report.xml"]);
    assert_eq!(done.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&done.stdout).contains("1 failed"));
    let xml = fs::read_to_string(folder.path("report.xml")).expect("a report");
    let report = quick_junit::Report::deserialize_from_str(&xml).expect("JUnit's XML");
    assert_eq!((report.tests, report.failures), (4, 1));
    let names: Vec<&str> = report
        .test_suites
        .iter()
        .map(|suite| suite.name.as_str())
        .collect();
    assert_eq!(names, ["marks", "wrong"]);
    assert!(
        xml.contains("wrong.yaml:9:7: step 1 (GET /): status"),
        "{xml}"
    );
}

#[test]
fn update_writes_actual_results_and_nothing_else() {
    let empty = "about: x\nsteps:\n- request: { path: /, expect: {} } # to be filled\n";
    let folder = project(&[("empty", empty), ("marks", PASSES), ("wrong", FAILS)]);
    let done = test(&folder, &["--update"]);
    let said = String::from_utf8_lossy(done.succeeds()).into_owned();
    assert!(
        said.ends_with("updated 2 scenarios: review the changes\n"),
        "{said}"
    );
    let read = |name: &str| {
        fs::read_to_string(folder.path(&format!("scenarios/{name}.yaml"))).expect("a scenario")
    };
    assert_eq!(read("empty"), empty.replace("{}", "{ status: 200 }"));
    assert_eq!(read("marks"), PASSES);
    let expected = FAILS
        .replace("status: 200  #", "status: 202  #")
        .replace("x-a: [b], x-none: [c]", "x-a: [\"\\xff\"], x-none: []")
        .replace("        two", "        three")
        .replace("upstream: none", "upstream: { method: GET, path: / }");
    assert_eq!(read("wrong"), expected);
    test(&folder, &[]).succeeds();
    let again = test(&folder, &["--update"]);
    assert!(!String::from_utf8_lossy(again.succeeds()).contains("updated"));
}

#[test]
fn schema_describes_scenario_fields() {
    let folder = Folder::new();
    let done = tidegate_in(&folder.path(""), &["test", "--schema"]);
    let schema: Value = serde_json::from_slice(done.succeeds()).expect("JSON");
    for key in ["about", "clock", "seed", "steps"] {
        assert!(
            schema["properties"][key]["description"].is_string(),
            "{key}"
        );
    }
}

const FIXED: &str = "about: Time and random numbers are those that the scenario sets.
clock: 2026-01-02T03:04:05Z
seed: 7
plugins:
- guest: plugin
- guest: ./std-guest.wasm
steps:
- request: { path: /random, expect: { status: 200, logs: ['std-guest info random 0'] } }
- advance: 2s
- request: { path: /now, expect: { logs: ['std-guest info now 1767323047'] } }
";

/// A directory with components.
fn components() -> Folder {
    let folder = project(&[]);
    fs::rename(plugin(&folder, "probe"), folder.path("plugin.wasm")).expect("a plugin");
    fs::rename(
        plugin(&folder, "std-guest"),
        folder.path("scenarios/std-guest.wasm"),
    )
    .expect("a plugin");
    folder
}

#[test]
fn clock_and_seed_are_the_same_in_both_engines() {
    let folder = components();
    let file = folder.path("scenarios/fixed.yaml");
    fs::write(&file, FIXED).expect("a scenario");
    // The random value is unknown here, but it must be the same in another run.
    let updated = test(&folder, &["--update", "--runtime", "component"]);
    assert!(
        updated.status.success(),
        "{}{}",
        String::from_utf8_lossy(&updated.stdout),
        updated.stderr
    );
    let text = fs::read_to_string(&file).expect("a scenario");
    assert!(
        text.contains("now 1767323047'") && !text.contains("random 0'"),
        "{text}"
    );
    let said = test(&folder, &["--runtime", "component,proxy-wasm,component"]);
    let said = String::from_utf8_lossy(said.succeeds()).into_owned();
    assert!(said.contains("\n3 passed, 0 failed, 0 skipped"), "{said}");
    fs::write(&file, text.replace("seed: 7", "seed: 8")).expect("a scenario");
    let other = test(&folder, &["--runtime", "component"]);
    assert_eq!(other.status.code(), Some(1));
}

#[test]
#[ignore = "needs envoy"]
fn scenarios_run_in_a_real_envoy_needs_envoy() {
    let binary = envoy(Release::ALL[0]);
    let folder = project(&[
        ("marks", PASSES),
        (
            "fixed",
            "about: x\nseed: 1\nsteps:\n- request: { path: / }\n",
        ),
    ]);
    let done = test(
        &folder,
        &[
            "--runtime",
            "proxy-wasm,envoy",
            "--envoy",
            &text(Path::new(&binary)),
        ],
    );
    let said = timeless(done.succeeds());
    for line in [
        "ok    marks  envoy  TIME\n",
        "ok    marks  runtimes agree  TIME\n",
        "skip  fixed  envoy  ",
        "`seed` cannot be set in Envoy",
    ] {
        assert!(said.contains(line), "{line} in {said}");
    }
    test(&folder, &["--envoy", "1.40.0"])
        .misses("`--envoy` has no effect without the `envoy` runtime");
    let none = test(&folder, &["--runtime", "envoy", "--envoy", "0.1.0"]);
    none.misses("`--envoy 0.1.0` is neither a file nor a supported release: 1.40.0");

    // Neither Envoy nor the Python that downloads it is available.
    let output = Command::new(binary::path())
        .args(["--quiet", "test", "--plugin", "plugin.wasm"])
        .args(["--runtime", "envoy"])
        .current_dir(folder.path(""))
        .env("PATH", folder.path("bin"))
        .env("TIDEGATE_CACHE", folder.path("cache"))
        .output()
        .expect("the tool");
    let done = Done {
        status: output.status,
        stdout: output.stdout,
        stderr: String::from_utf8(output.stderr).expect("text"),
    };
    done.lacks(&["Envoy is not available; specify one with `--envoy PATH`"]);
}
