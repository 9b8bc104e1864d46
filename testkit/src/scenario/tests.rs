//! Scenario files that are valid, and mistakes with their positions.

use std::time::Duration;

use anyhow::Result;

use super::line_pattern::glob;
use super::*;

fn read(text: &str) -> Result<Scenario> {
    read_for(text, None)
}

/// Reads a scenario for a plugin under test.
fn read_for(text: &str, own: Option<&str>) -> Result<Scenario> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("logging/log.yaml");
    std::fs::create_dir(folder.path().join("logging"))?;
    std::fs::write(&file, text)?;
    Scenario::read(folder.path(), &file, own)
}

#[test]
fn scenario_name_is_derived_from_its_path() {
    let scenario = read(
        "about: x\nplugins: [{guest: probe}]\nsteps:\n- advance: 1.5s\n- request: {path: /}\n",
    );
    let scenario = scenario.expect("a scenario");
    assert_eq!(scenario.name, "logging/log");
    assert!(
        matches!(scenario.steps[0], Step::Advance(Passing(time)) if time == Duration::from_millis(1500))
    );
}

#[test]
fn invalid_scenario_is_rejected_with_a_precise_error() {
    let error = |text: &str| format!("{:#}", read(text).expect_err("a mistake"));
    let unknown =
        error("about: x\nplugins: [{guest: probe}]\nsteps:\n- request: {path: /, boody: x}\n");
    assert!(unknown.contains("log.yaml:4:"), "{unknown}");
    assert!(unknown.contains("boody"), "{unknown}");
    assert_eq!(unknown.lines().count(), 1, "{unknown}");
    let twice = error(
        "about: x\nplugins: [{guest: probe}, {guest: probe}]\nsteps:\n- request: {path: /}\n",
    );
    assert!(
        twice.contains("two plugins have the name `probe`"),
        "{twice}"
    );
    let renamed = error(
        "about: x\nplugins: [{guest: probe, fail-policy: open}]\nsteps:\n- request: {path: /}\n",
    );
    assert!(
        renamed.contains("unknown field `fail-policy`") && renamed.contains("failure-policy"),
        "{renamed}"
    );
    let runtime = error(
        "about: x\nplugins: [{guest: probe}]\nnot-in: {mars: far}\nsteps:\n- request: {path: /}\n",
    );
    assert!(
        runtime.contains("`mars`") && runtime.contains("envoy-1.40.0"),
        "{runtime}"
    );
    let time = error("about: x\nplugins: [{guest: probe}]\nsteps:\n- advance: soon\n");
    assert!(time.contains("`soon` is not a valid duration"), "{time}");
    let path = error(
        "about: x\nplugins: [{guest: probe}]\nproperties:\n- {path: [a, ''], value: 5}\nsteps:\n- request: {path: /}\n",
    );
    assert!(
        path.contains("log.yaml:4:3: `a.` has a segment that is empty"),
        "{path}"
    );
    let metadata = |stated: &str| {
        error(&format!(
            "about: x\nplugins: [{{guest: probe}}]\nmetadata: {stated}\nsteps:\n- request: {{path: /}}\n"
        ))
    };
    let list = metadata("{route: {a: {b: [c]}}}");
    assert!(
        list.contains("log.yaml:3:27: `b`: expected a string, a number, a boolean or a mapping")
            && list.contains("lists and `null` are not supported"),
        "{list}"
    );
    let null = metadata("{dynamic: {a: {b: {c: null}}}}");
    assert!(null.contains("`null` are not supported"), "{null}");
    let key = metadata("{dynamic: {a: {'': c}}}");
    assert!(
        key.contains("log.yaml:3:26: a key in `metadata` is empty"),
        "{key}"
    );
    let metric = error(
        "about: x\nplugins: [{guest: probe}]\nmetrics: {a: {sum: 1}}\nsteps:\n- request: {path: /}\n",
    );
    assert!(
        metric.contains("log.yaml:3:14: `a`: expected a non-negative integer or, for a histogram,"),
        "{metric}"
    );
    let any = error("about: x\nplugins: [{guest: probe}]\nstart: {refused: true}\n");
    assert!(
        any.contains("log.yaml:3:1: ") && any.contains("to `start.logs`"),
        "{any}"
    );
    let both = error(
        "about: x\nplugins: [{guest: probe, configuration: a, configuration-file: b}]\nsteps:\n- request: {path: /}\n",
    );
    assert!(
        both.contains("log.yaml:2:11: `configuration` cannot"),
        "{both}"
    );
    let absent = error(
        "about: x\nplugins: [{guest: probe, configuration-file: b}]\nsteps:\n- request: {path: /}\n",
    );
    assert!(
        absent.contains("log.yaml:2:11: cannot read") && absent.contains("logging/b`"),
        "{absent}"
    );
    let upstream = |stated: &str| {
        error(&format!(
            "about: x\nplugins: [{{guest: probe}}]\nsteps:\n- request: {{path: /, expect: {{upstream: {stated}}}}}\n"
        ))
    };
    let nowhere = upstream("nowhere");
    assert!(
        nowhere.contains("log.yaml:4:") && nowhere.contains("`none`, or what"),
        "{nowhere}"
    );
    let key = upstream("{boody: x}");
    assert!(
        key.contains("log.yaml:4:") && key.contains("boody"),
        "{key}"
    );
}

#[test]
fn upstream_expectation_is_none_or_a_request() {
    let scenario = read(
        "about: x\nplugins: [{guest: probe}]\nsteps:\n\
         - request: {path: /, expect: {upstream: none}}\n\
         - request: {path: /, expect: {upstream: {body: hello}}}\n",
    );
    let scenario = scenario.expect("a scenario");
    let stated = |step: &Step| match step {
        Step::Request(request) => request
            .expect
            .upstream
            .as_ref()
            .map(|upstream| matches!(upstream, AtUpstream::Nothing)),
        _ => None,
    };
    assert_eq!(stated(&scenario.steps[0]), Some(true));
    assert_eq!(stated(&scenario.steps[1]), Some(false));
}

#[test]
fn asterisk_is_a_wildcard() {
    assert!(glob("a*c", "abc") && glob("a*c", "ac") && glob("*", "") && glob("a", "a"));
    assert!(!glob("a*c", "abcd") && !glob("a", "ab") && glob("*b*", "abc"));
}

#[test]
fn cluster_answers_echoes_refuses_or_has_no_hosts() {
    let scenario = read(
        "about: x\nplugins: [{guest: probe}]\nclusters:\n\
         \x20 a: { answers: [{path: /, body: x, hold: body, break: body}] }\n\
         \x20 b: echo\n\x20 c: refused\n\x20 d: no-hosts\n\
         calls: { b: [{path: /}], d: [] }\n\
         steps:\n- arrived: b\n- release: a\n- arrived: upstream\n\
         - arrived: {cluster: b, path: /any}\n- release: {cluster: a, path: /}\n",
    );
    let scenario = scenario.expect("a scenario");
    let Some(Step::Release(awaited)) = scenario.steps.last() else {
        panic!("not a `release` step");
    };
    assert_eq!((awaited.cluster(), awaited.path()), ("a", Some("/")));
    let Some(Cluster::Answers(answers)) = scenario.clusters.get("a") else {
        panic!("not answers");
    };
    let answer = answers.first().expect("an answer");
    assert_eq!(
        (answer.hold, answer.breaks),
        (Some(AnswerPart::Body), Some(AnswerPart::Body))
    );
    assert!(matches!(scenario.clusters["d"], Cluster::NoHosts));
    assert_eq!(scenario.calls["b"].len(), 1);
}

#[test]
fn invalid_cluster_is_rejected_with_a_precise_error() {
    let error = |clusters: &str, rest: &str| {
        let text = format!(
            "about: x\nplugins: [{{guest: probe}}]\nclusters: {clusters}\n{rest}\nsteps:\n- advance: 1s\n"
        );
        format!("{:#}", read(&text).expect_err("a mistake"))
    };
    let step = |step: &str| {
        let text = format!(
            "about: x\nplugins: [{{guest: probe}}]\nclusters: {{a: echo, b: refused, d: {{answers: [{{path: /}}, {{path: /h, hold: head}}]}}}}\nsteps:\n- {step}\n"
        );
        format!("{:#}", read(&text).expect_err("a mistake"))
    };
    for (found, expected) in [
        (
            error("{upstream: echo}", ""),
            ":3:12: `upstream` is the name",
        ),
        (error("{a: {answers: []}}", ""), ":3:16: `answers` is empty"),
        (error("{a: mirror}", ""), ":3:"),
        (error("{a: mirror}", ""), "no-hosts"),
        (
            error("{a: {answers: [{path: /, trailers: [[a, b]]}]}}", ""),
            "which require `chunks`",
        ),
        (
            error("{a: {answers: [{path: /, break: body}]}}", ""),
            "`break: body`, which requires `body` or `chunks`",
        ),
        (
            error("{a: echo}", "calls: {b: []}"),
            ":4:9: there is no cluster `b`",
        ),
        (step("arrived: c"), ":5:3: there is no cluster `c`"),
        (step("arrived: b"), "no request can arrive at `b`"),
        (step("release: a"), "`a` has no response with `hold: head`"),
        (
            step("arrived: {cluster: d, path: /x}"),
            ":5:25: `d` has no response for `/x`: add it",
        ),
        (
            step("arrived: {cluster: a, path: x}"),
            ":5:25: `x` is not a valid path: it must start with `/`",
        ),
        (
            step("release: {cluster: d, path: /}"),
            ":5:3: `d` has no response for `/` with `hold: head`",
        ),
        (step("arrived: {cluster: d}"), "missing field `path`"),
        (step("arrived: [d]"), "the name of a cluster, or a mapping"),
    ] {
        assert!(found.contains(expected), "{found}");
    }
}

#[test]
fn reload_starts_the_same_plugins_or_others() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("reload.yaml");
    let text = "about: x\nplugins: [{guest: probe}, {guest: hello}]\nsteps:\n- reload: {}\n\
        - reload: {plugins: [{guest: probe, configuration-file: key.pem}]}\n";
    std::fs::write(&file, text).expect("a scenario");
    std::fs::write(folder.path().join("key.pem"), "key").expect("a file");
    let scenario = Scenario::read(folder.path(), &file, None).expect("a scenario");
    let started: Vec<usize> = scenario.reloads().map(<[Plugin]>::len).collect();
    assert_eq!(started, [2, 1]);
    let plugin = scenario.all_plugins().last().expect("a plugin");
    assert_eq!(plugin.configuration(), b"key");
    assert_eq!(scenario.all_plugins().count(), 5);
}

#[test]
fn requests_across_reloads_are_recognized() {
    let has = |steps: [&str; 3]| {
        let steps = steps.join("\n");
        let scenario = read(&format!(
            "about: x\nplugins: [{{guest: probe}}]\nsteps:\n{steps}\n"
        ));
        scenario.expect("a scenario").has_request_across_reload()
    };
    let (begin, finish) = ("- begin: {id: a, path: /}", "- finish: {id: a}");
    assert!(has([begin, "- reload: {}", finish]));
    assert!(has([begin, "- reload: {}", "- hangup: a"]));
    assert!(!has([begin, finish, "- reload: {}"]));
    assert!(!has(["- reload: {}", begin, finish]));
}

#[test]
fn vm_configuration_is_text_or_json() {
    let scenario = read(
        "about: x\nplugins: [{guest: probe, vm-configuration: text}, {guest: a, vm-configuration: {b: 1}}, {guest: c}]\n\
         steps:\n- request: {path: /}\n",
    );
    let plugins = scenario.expect("a scenario").plugins;
    let configurations: Vec<Vec<u8>> = plugins.iter().map(Plugin::vm_configuration).collect();
    assert_eq!(configurations, [&b"text"[..], b"{\"b\":1}", b""]);
}

#[test]
fn invalid_reload_is_rejected_with_a_precise_error() {
    let error = |reload: &str| {
        let text = format!("about: x\nplugins: [{{guest: probe}}]\nsteps:\n- reload: {reload}\n");
        format!("{:#}", read(&text).expect_err(reload))
    };
    for (found, expected) in [
        (error("{plugins: []}"), ":4:12: `plugins` is empty"),
        (
            error("{plugins: [{guest: a}, {guest: a}]}"),
            ":4:34: two plugins have the name `a`",
        ),
        (
            error("{plugins: [{guest: a, configuration-file: b}]}"),
            ":4:22: cannot read `configuration-file`",
        ),
        (error("{plugin: []}"), "unknown field `plugin`"),
    ] {
        assert!(found.contains(expected), "{found}");
    }
}

#[test]
fn plugins_may_be_absent_but_not_empty() {
    let text = |plugins: &str| format!("about: x\n{plugins}steps:\n- advance: 1s\n");
    let scenario = read_for(&text(""), Some("probe")).expect("a scenario");
    assert_eq!(scenario.plugins[0].name(), "probe");
    let error = read_for(&text("plugins: []\n"), Some("probe")).expect_err("no plugin");
    let error = error.to_string();
    assert!(
        error.contains("log.yaml:2:1: `plugins` is empty"),
        "{error}"
    );
}

#[test]
fn request_for_the_server_itself_and_reused_id_are_valid() {
    let text = "about: x\nplugins: [{guest: probe}]\nsteps:\n\
        - request: {path: '*', method: OPTIONS}\n\
        - begin: {id: a, path: /, open: true}\n- chunk: {id: a, data: x}\n- chunk: {id: a, end: true}\n- finish: {id: a}\n\
        - begin: {id: a, path: '/?b'}\n- hangup: a\n";
    assert_eq!(read(text).expect("a scenario").steps.len(), 7);
}

#[test]
fn invalid_request_is_rejected_with_a_precise_error() {
    let of = |rest: &str| {
        let text = format!("about: x\nplugins: [{{guest: probe}}]\n{rest}\n");
        format!("{:#}", read(&text).expect_err(rest))
    };
    let step = |step: &str| of(&format!("steps:\n- {step}"));
    let calls = "clusters: {a: echo}\ncalls: {a: [{headers: {X-A: []}}]}\nsteps:\n- advance: 1s";
    for (found, expected) in [
        (
            step("request: {path: a}"),
            ":4:13: `a` is not a valid path: it must start with `/`",
        ),
        (step("request: {path: '*'}"), "it must start with `/`"),
        (
            step("request: {path: 'http://h/'}"),
            "it must start with `/`",
        ),
        (step("request: {path: '/a b'}"), "encode other characters"),
        (step("request: {path: '/a#b'}"), "encode other characters"),
        (
            step("request: {path: /, method: 'G T'}"),
            ":4:22: `G T` is not a valid method",
        ),
        (
            step("request: {path: /, headers: [[a b, c]]}"),
            ":4:32: `a b` is not a valid header name",
        ),
        (
            step("request: {path: /, headers: [[a, \"x\\ny\"]]}"),
            ":4:32: the value of `a` contains a control character",
        ),
        (
            step("request: {path: /, trailers: [['', c]]}"),
            "`` is not a valid header name",
        ),
        (
            step("request: {path: /, expect: {headers: {X-A: []}}}"),
            "write `x-a`",
        ),
        (
            step("request: {path: /, expect: {upstream: {headers: {a b: []}}}}"),
            "`a b` is not a valid header name",
        ),
        (of(calls), ":4:24: header names are compared in lowercase"),
        (
            step("request: {path: /, times: -1}"),
            ":4:29: `times`: expected an integer from 0 to 18446744073709551615",
        ),
        (
            step("request: {path: /, expect: {status: ok}}"),
            "`status`: expected an integer from 0 to 65535",
        ),
        (step("request: {path: [a]}"), "`path`: expected a string"),
    ] {
        assert!(found.contains(expected), "{found}");
    }
}

#[test]
fn step_must_continue_a_request_in_progress() {
    let step = |step: &str| {
        let text = format!("about: x\nplugins: [{{guest: probe}}]\nsteps:\n- {step}\n");
        format!("{:#}", read(&text).expect_err(step))
    };
    for (found, expected) in [
        (
            step("begin: {id: a, path: /}"),
            ":4:3: the request `a` has no `finish` or `hangup` step",
        ),
        (
            step("begin: {id: a, path: /, open: true, body: x}"),
            ":4:39: `body` cannot be combined with `open: true`",
        ),
        (
            step("begin: {id: a, path: /}\n- begin: {id: a, path: /}\n- finish: {id: a}"),
            ":5:11: a request `a` is already in progress",
        ),
        (
            step("chunk: {id: a}"),
            ":4:11: no request `a` is in progress",
        ),
        (
            step("finish: {id: a}"),
            ":4:12: no request `a` is in progress",
        ),
        (step("hangup: a"), ":4:3: no request `a` is in progress"),
        (
            step("begin: {id: a, path: /}\n- finish: {id: a}\n- hangup: a"),
            ":6:3: no request `a` is in progress",
        ),
        (
            step("begin: {id: a, path: /}\n- chunk: {id: a, data: x}\n- finish: {id: a}"),
            ":5:3: the body of `a` cannot have more chunks",
        ),
        (
            step(
                "begin: {id: a, path: /, open: true}\n- chunk: {id: a, end: true}\n- chunk: {id: a}\n- finish: {id: a}",
            ),
            ":6:3: the body of `a` cannot have more chunks",
        ),
    ] {
        assert!(found.contains(expected), "{found}");
    }
}

#[test]
fn invalid_response_is_rejected_with_a_precise_error() {
    let answer = |answer: &str| {
        let text = format!(
            "about: x\nplugins: [{{guest: probe}}]\nupstream:\n- {{{answer}}}\nsteps:\n- advance: 1s\n"
        );
        format!("{:#}", read(&text).expect_err(answer))
    };
    for (found, expected) in [
        (
            answer("path: a"),
            ":4:4: `a` is not a valid path: it must start with `/`",
        ),
        (
            answer("path: /, status: 199"),
            ":4:13: `status` is 199: expected an integer from 200 to 599",
        ),
        (answer("path: /, status: 600"), "`status` is 600"),
        (
            answer("path: /, status: 70000"),
            ":4:21: `status`: expected an integer from 0 to 65535",
        ),
        (
            answer("path: /, body: x, chunks: [y]"),
            ":4:22: `chunks` cannot be combined with `body`",
        ),
        (
            answer("path: /, headers: [[a b, c]]"),
            "`a b` is not a valid header name",
        ),
    ] {
        assert!(found.contains(expected), "{found}");
    }
}
