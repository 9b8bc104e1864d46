//! The dashboard's page in a real browser: live updates, keyboard operation, hostile data, both color schemes.

use std::net::SocketAddr;

use serde_json::Value;
use tidegate_components::guests::{self, Shape};

use crate::browser::Browser;
use crate::dashboard::{ask, nosy, serve_with_dashboard, ticking};
use crate::tool::Folder;

const LIVE: &str = "document.getElementById('state').textContent === 'Live'";

/// The tutorial's plugin: it adds a header to every response, logs, and allows two requests per second.
fn tutorial(folder: &Folder) -> String {
    let component = guests::component("istio-tutorial", Shape::Wasip2).expect("a component");
    folder.file("tutorial.wasm", component)
}

fn get(address: SocketAddr, path: &str) -> String {
    ask(
        address,
        format!("GET {path} HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n"),
    )
}

fn url(dashboard: SocketAddr) -> String {
    format!("http://{dashboard}/")
}

/// The number of listed requests.
fn listed(count: usize) -> String {
    format!("document.querySelectorAll('#rows tr:not([hidden])').length === {count}")
}

/// Whether a request has the focus.
fn focused(words: &str) -> String {
    format!("document.activeElement.textContent === '{words}'")
}

/// Whether all details of a request are shown.
fn shows(words: &str) -> String {
    format!(
        "document.activeElement.id === 'title' && document.activeElement.textContent === '{words}' \
         && [...document.querySelectorAll('#body dt')].some(it => it.textContent === 'Took')"
    )
}

/// The text of the card of a callback.
fn card(browser: &mut Browser, callback: &str) -> String {
    browser.text(&format!(
        "document.querySelector('article[data-callback={callback}]').innerText"
    ))
}

#[test]
#[ignore = "needs chromium"]
fn page_is_live_and_keyboard_operable_needs_chromium() {
    let mut browser = Browser::start();
    let folder = Folder::new();
    let (serving, dashboard) = serve_with_dashboard(&[&tutorial(&folder)]);
    browser.open(&url(dashboard), LIVE);
    assert_eq!(browser.eval(&listed(0)), true);
    for (path, status) in [("/one", "200"), ("/two", "200"), ("/three", "403")] {
        let response = get(serving.address, path);
        assert!(
            response.starts_with(&format!("HTTP/1.1 {status} ")),
            "{response}"
        );
    }
    browser.wait(&listed(3));
    browser.wait("document.querySelector('#rows').innerText.includes('403')");
    assert!(
        browser
            .text("document.querySelector('#rows tr').innerText")
            .contains("plugin tutorial")
    );

    // The first key moves the focus to the newest request.
    browser.press("j");
    browser.wait(&focused("GET /three"));
    browser.press("Enter");
    browser.wait(&shows("GET /three"));
    let refused = card(&mut browser, "on-request-headers");
    for part in [
        "tutorial on-request-headers",
        "pause",
        "Local response 403 by plugin tutorial, 29 bytes",
        "powered-by",
        "proxy-wasm-go-sdk!!",
        "the remain token 0",
        "Fuel",
    ] {
        assert!(refused.contains(part), "no `{part}` in:\n{refused}");
    }

    // Close, move down twice and up once, with both sets of keys.
    browser.press("Escape");
    browser.wait(&focused("GET /three"));
    assert_eq!(
        browser.eval("document.getElementById('body').children.length"),
        0
    );
    browser.press("ArrowDown");
    browser.press("j");
    browser.wait(&focused("GET /one"));
    browser.press("k");
    browser.press("ArrowUp");
    browser.wait(&focused("GET /three"));
    browser.press("j");
    browser.press("Enter");
    browser.wait(&shows("GET /two"));
    let marked = browser.text(
        "[...document.querySelectorAll('article[data-callback=on-response-headers] tr[data-is=added]')]
            .map(it => it.innerText).join('\\n')",
    );
    assert_eq!(
        marked,
        "+ added\twho-am-i\twasm-extension\n+ added\tinjected-by\tistio-api!"
    );

    // The filter, and pausing.
    browser.press("/");
    browser.wait("document.activeElement.id === 'filter'");
    browser.type_in("/t");
    browser.wait(&listed(2));
    browser.press("Escape");
    browser.wait(&listed(3));
    browser.press("p");
    browser.wait("document.getElementById('state').textContent.startsWith('Paused')");
    get(serving.address, "/four");
    browser.wait("document.getElementById('state').textContent.includes('1 request waiting')");
    assert_eq!(browser.eval(&listed(3)), true);
    browser.press("p");
    browser.wait(&listed(4));
    browser.is_content();
}

#[test]
#[ignore = "needs chromium"]
fn page_masks_secrets_unless_enabled_needs_chromium() {
    let mut browser = Browser::start();
    let folder = Folder::new();
    let path = nosy(&folder);
    // If the proxy ended first, the page would report an error.
    let mut serving_still = Vec::new();
    for (flag, is_shown) in [(None, false), (Some("--dashboard-secrets"), true)] {
        let args: Vec<&str> = [path.as_str()].into_iter().chain(flag).collect();
        let (serving, dashboard) = serve_with_dashboard(&args);
        browser.open(&url(dashboard), LIVE);
        ask(
            serving.address,
            "GET /a HTTP/1.1\r\nhost: h\r\nauthorization: Bearer open-sesame\r\ncookie: c=sesame-seeds\r\n\
             connection: close\r\n\r\n",
        );
        open_first(&mut browser);
        let page = browser.text("document.body.innerText");
        assert_eq!(page.contains("sesame"), is_shown, "{page}");
        assert_eq!(page.contains("18 bytes masked"), !is_shown, "{page}");
        assert_eq!(page.contains("--dashboard-secrets was given"), is_shown);
        serving_still.push(serving);
    }
    browser.is_content();
}

/// Opens the only request, and expands everything.
fn open_first(browser: &mut Browser) {
    browser.wait("document.querySelector('#rows tr .took')?.textContent.endsWith('s')");
    browser.press("j");
    browser.press("Enter");
    browser.wait("document.querySelector('#body article')");
    browser.eval("document.querySelectorAll('details').forEach(it => it.open = true)");
}

#[test]
#[ignore = "needs chromium"]
fn page_escapes_hostile_data_needs_chromium() {
    let mut browser = Browser::start();
    let folder = Folder::new();
    let (serving, dashboard) = serve_with_dashboard(&[&nosy(&folder)]);
    browser.open(&url(dashboard), LIVE);
    // Angle brackets are not allowed in HTTP paths, but their encoded form is.
    let mut request = b"GET /%3Cscript%3Epwned=1%3C/script%3E/'\"&lt;img&gt;".to_vec();
    request.extend([b'a'; 20_000]);
    request.extend(b" HTTP/1.1\r\nhost: h\r\nx-markup: </td><img src=x onerror=pwned=1><script>pwned=1</script>\r\n");
    request.extend("x-turned: \u{202e}abc\u{2066} \u{5d0}\u{5d1}\r\n".as_bytes());
    request.extend(b"x-bytes: \xff\xfe\t\x80\r\nx-long: ");
    request.extend([b'b'; 20_000]);
    request.extend(b"\r\n__proto__: x\r\nconnection: close\r\n\r\n");
    let response = ask(serving.address, &request);
    assert!(response.starts_with("HTTP/1.1 200 "), "{response}");
    open_first(&mut browser);
    let page = browser.text("document.body.innerText");
    for shown in [
        "/%3Cscript%3Epwned=1%3C/script%3E/'\"&lt;img&gt;aaa",
        "</td><img src=x onerror=pwned=1><script>pwned=1</script>",
        "\\u{202e}abc\\u{2066}",
        "\\xff\\xfe\t\\x80",
        "__proto__",
        "and 15,904 bytes more",
        "\\u{1b}[31m\\u{202e}</td>",
    ] {
        assert!(page.contains(shown), "no `{shown}` in:\n{page}");
    }
    assert_eq!(browser.text("typeof pwned"), "undefined");
    for (elements, count) in [
        ("script", 1),
        ("style", 1),
        ("img", 0),
        ("svg", 0),
        ("b", 0),
    ] {
        let found = browser.eval(&format!("document.querySelectorAll('{elements}').length"));
        assert_eq!(found, count, "{elements}");
    }
    for (width, height) in [(1280, 900), (400, 800)] {
        browser.resize(width, height);
        let fits = "document.documentElement.scrollWidth <= document.documentElement.clientWidth";
        browser.wait(fits);
    }
    browser.is_content();
    // If data was treated as HTML, the content security policy would block it, and this test would detect the report.
    assert_eq!(
        browser.text("try { document.body.innerHTML = '<img>'; } catch (error) { error.name }"),
        "TypeError"
    );
    browser.eval("document.body.setAttribute('style', 'color: red')");
    assert!(browser.complains(), "a violation goes unheard");
}

/// Texts whose contrast with their background, according to WCAG 2, is less than 4.5.
const FAINT: &str = r#"(() => {
  const channels = text => (text.match(/[\d.]+/g) || []).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(it => it / 255).map(it => it <= .03928 ? it / 12.92 : ((it + .055) / 1.055) ** 2.4)
    .reduce((sum, it, at) => sum + it * [.2126, .7152, .0722][at], 0);
  const behind = element => {
    for (let it = element; it; it = it.parentElement) {
      const ground = channels(getComputedStyle(it).backgroundColor);
      if (ground.length === 3 || ground[3] === 1) return ground;
    }
    return [255, 255, 255];
  };
  const contrast = (text, ground) => {
    const [high, low] = [light(text), light(ground)].sort((a, b) => b - a);
    return (high + .05) / (low + .05);
  };
  const found = [];
  let seen = 0;
  for (const element of document.body.querySelectorAll("*")) {
    const own = [...element.childNodes].some(it => it.nodeType === Node.TEXT_NODE && it.data.trim());
    if (!element.checkVisibility() || !(own || element.placeholder)) continue;
    const style = getComputedStyle(element, element.placeholder ? "::placeholder" : null);
    const text = channels(style.color);
    const ratio = contrast(text, behind(element)) * (text.length === 3 ? 1 : 0) * (Number(style.opacity) === 1 ? 1 : 0);
    seen += 1;
    if (ratio < 4.5) found.push(`${element.tagName} ${element.className} ${element.textContent.slice(0, 30)}: ${ratio}`);
  }
  return { seen, found, ground: getComputedStyle(document.body).backgroundColor };
})()"#;

#[test]
#[ignore = "needs chromium"]
fn page_is_legible_in_light_and_dark_mode_needs_chromium() {
    let mut browser = Browser::start();
    let folder = Folder::new();
    let headers = guests::component("headers", Shape::Wasip2).expect("a component");
    let headers = folder.file("headers.wasm", headers);
    let headers = format!(
        r#"{headers}={{"rules": [{{"request": [{{"set": {{"name": "x-a", "value": "2"}}}}, {{"remove": "x-b"}}]}}]}}"#
    );
    let (serving, dashboard) = serve_with_dashboard(&[&headers, &tutorial(&folder)]);
    for _ in 0..3 {
        ask(
            serving.address,
            "GET /a HTTP/1.1\r\nhost: h\r\nx-a: 1\r\nx-b: 1\r\nauthorization: secret\r\nconnection: close\r\n\r\n",
        );
    }
    let mut grounds = Vec::new();
    for scheme in ["light", "dark"] {
        browser.prefer(scheme);
        browser.open(&url(dashboard), LIVE);
        browser.wait(&listed(3));
        open_first(&mut browser);
        // Signs and words, not only colors.
        let changes = browser.text(
            "[...document.querySelectorAll('tr[data-is] .is')].map(it => it.textContent).join()",
        );
        for words in ["~ changed", "− removed", "same"] {
            assert!(changes.contains(words), "{changes}");
        }
        let Value::Object(result) = browser.eval(FAINT) else {
            panic!("no result");
        };
        assert_eq!(result["found"], Value::Array(Vec::new()), "{scheme}");
        assert!(
            result["seen"].as_u64().expect("a number") > 60,
            "{result:?}"
        );
        grounds.push(result["ground"].clone());
    }
    assert_ne!(grounds[0], grounds[1], "both schemes look the same");
    browser.is_content();
}

#[test]
#[ignore = "needs chromium"]
fn page_shows_events_needs_chromium() {
    let mut browser = Browser::start();
    let folder = Folder::new();
    let (_serving, dashboard) = serve_with_dashboard(&[&ticking(&folder)]);
    for scheme in ["light", "dark"] {
        browser.prefer(scheme);
        browser.open(&url(dashboard), LIVE);
        browser.wait("document.querySelectorAll('#event-rows > li').length === 2");
        let newest = browser.text("document.querySelector('#event-rows > li').innerText");
        for part in ["ticking on-tick", "trapped", "fuel", "wasm trap"] {
            assert!(newest.contains(part), "no `{part}` in:\n{newest}");
        }
        let first = browser.text("document.querySelector('#event-rows > li:last-child').innerText");
        assert!(first.contains("<b>tick"), "{first}");
        assert!(!first.contains("trapped"), "{first}");
        let result = browser.eval(FAINT);
        assert_eq!(result["found"], Value::Array(Vec::new()), "{scheme}");
    }
    browser.is_content();
}

#[test]
#[ignore = "needs chromium"]
fn page_has_accessible_names_and_focus_order_needs_chromium() {
    let mut browser = Browser::start();
    let folder = Folder::new();
    let (serving, dashboard) = serve_with_dashboard(&[&nosy(&folder)]);
    browser.open(&url(dashboard), LIVE);
    get(serving.address, "/a");
    browser.wait(&listed(1));
    // The focus order: first a link past the bar; the list is one stop; each stop is visible.
    let mut stops = Vec::new();
    for _ in 0..4 {
        browser.press("Tab");
        stops.push(browser.text("document.activeElement.textContent || document.activeElement.id"));
        let outline = browser.text("getComputedStyle(document.activeElement).outlineStyle");
        assert_eq!(outline, "solid", "{stops:?}");
    }
    assert_eq!(stops, ["Skip to the requests", "filter", "Pause", "GET /a"]);
    browser.press("Enter");
    browser.wait(&shows("GET /a"));
    let nameless = browser.text(
        "[...document.querySelectorAll('button, input, section, article, table')].filter(it => {
            const label = document.getElementById(it.getAttribute('aria-labelledby')) || it.labels?.[0] || it.caption;
            return !(it.getAttribute('aria-label') || label?.textContent || it.matches('button') && it.textContent);
        }).map(it => it.outerHTML).join()",
    );
    assert_eq!(nameless, "");
    let current =
        browser.text("document.querySelector('#rows button[aria-current=true]').textContent");
    assert_eq!(current, "GET /a");
    assert_eq!(browser.text("document.documentElement.lang"), "en");
    browser.is_content();
}

#[test]
#[ignore = "needs chromium"]
fn page_reconnects_after_the_proxy_restarts_needs_chromium() {
    let mut browser = Browser::start();
    let folder = Folder::new();
    let path = nosy(&folder);
    let (serving, dashboard) = serve_with_dashboard(&[&path]);
    browser.open(&url(dashboard), LIVE);
    get(serving.address, "/before");
    open_first(&mut browser);
    serving.signal("TERM");
    assert!(serving.end().success());
    browser.wait("document.getElementById('state').textContent.startsWith('Not connected')");
    // Recorded requests remain readable.
    assert_eq!(browser.eval(&listed(1)), true);
    let (serving, again) = serve_with_dashboard(&[&path, &format!("--dashboard={dashboard}")]);
    assert_eq!(again, dashboard);
    browser.wait(LIVE);
    browser.wait(&listed(0));
    get(serving.address, "/after");
    browser.wait(&listed(1));
    browser.press("Escape");
    browser.press("j");
    browser.wait(&focused("GET /after"));
    browser.press("Enter");
    browser.wait(&shows("GET /after"));

    // The same while the page is paused: it catches up when it is resumed.
    browser.press("p");
    serving.signal("TERM");
    assert!(serving.end().success());
    browser.wait("document.getElementById('state').textContent.startsWith('Not connected')");
    let (serving, _) = serve_with_dashboard(&[&path, &format!("--dashboard={dashboard}")]);
    browser.wait("document.getElementById('state').textContent.startsWith('Paused')");
    get(serving.address, "/third");
    browser.wait("document.getElementById('state').textContent.includes('1 request waiting')");
    browser.press("p");
    browser.wait("document.querySelector('#rows').innerText.includes('/third')");
    browser.wait(&listed(1));
}

/// Keeps the connections for events of a page.
const CONNECTIONS: &str = "window.connections = [];
    window.EventSource = class extends EventSource { constructor(url) { super(url); connections.push(this); } };";

/// Logs when it is configured, which is an event.
const STARTING: &str = r#"(module
  (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "begun")
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "proxy_on_memory_allocate") (param i32) (result i32) i32.const 4096)
  (func (export "proxy_on_context_create") (param i32 i32))
  (func (export "proxy_on_configure") (param i32 i32) (result i32)
    (drop (call $log (i32.const 3) (i32.const 16) (i32.const 5)))
    i32.const 1))"#;

#[test]
#[ignore = "needs chromium"]
fn paused_page_counts_only_what_is_new_after_it_reconnects_needs_chromium() {
    let mut browser = Browser::start();
    let folder = Folder::new();
    let plugin = wat::parse_str(STARTING).expect("a module");
    let plugin = folder.file("starting.wasm", plugin);
    let (serving, dashboard) = serve_with_dashboard(&[&plugin]);
    browser.prepare(CONNECTIONS);
    browser.open(&url(dashboard), LIVE);
    get(serving.address, "/shown");
    browser.wait("document.querySelector('#rows tr .took')?.textContent.endsWith('s')");
    browser.wait("document.querySelectorAll('#event-rows > li').length === 1");
    browser.press("p");
    let reconnect = "(() => {
        document.documentElement.dataset.hellos = 0;
        const last = connections.at(-1);
        last.close();
        last.dispatchEvent(new Event('error'));
    })()";
    let reconnected = "document.documentElement.dataset.hellos === '1'";
    browser.eval(reconnect);
    browser.wait(reconnected);
    assert_eq!(
        browser.text("document.getElementById('state').textContent"),
        "Paused"
    );
    get(serving.address, "/new");
    browser.wait("document.getElementById('state').textContent === 'Paused, 1 request waiting'");
    browser.eval(reconnect);
    browser.wait(reconnected);
    assert_eq!(
        browser.text("document.getElementById('state').textContent"),
        "Paused, 1 request waiting"
    );
    browser.press("p");
    browser.wait(&listed(2));
    browser.wait("document.querySelectorAll('#event-rows > li').length === 1");
    browser.is_content();
}
