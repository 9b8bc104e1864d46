//! Conversions from and to the types of the `http` crate, for libraries that use them.
//!
//! The crate keeps pseudo-headers apart from headers: `:method`, `:path`, `:scheme` and `:authority` are parts of a request, and `:status`
//! is one of a response. What it does not accept is an [`Error::Malformed`] here.

use http::header::HOST;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};

use crate::http_calls;
use crate::{Error, Fields, HttpStream, LocalResponse};

impl HttpStream {
    /// Returns the method of the request as the type of the `http` crate. See [`method`](HttpStream::method).
    pub fn http_method(&self) -> Result<Option<Method>, Error> {
        let method = self.request_headers().get(":method")?;
        let method = method.map(|method| Method::from_bytes(&method)).transpose();
        method.map_err(|_| Error::Malformed)
    }

    /// Returns scheme, authority, path and query of the request as the type of the `http` crate. Without an authority, the result is the
    /// path with its query.
    pub fn uri(&self) -> Result<Uri, Error> {
        let headers = self.request_headers();
        let [scheme, authority, path] =
            [":scheme", ":authority", ":path"].map(|name| headers.get(name));
        uri(scheme?, authority?, path?)
    }

    /// Returns the status of the response as the type of the `http` crate. See [`status`](HttpStream::status).
    pub fn status_code(&self) -> Result<Option<StatusCode>, Error> {
        let status = self.response_headers().get(":status")?;
        let status = status
            .map(|status| StatusCode::from_bytes(&status))
            .transpose();
        status.map_err(|_| Error::Malformed)
    }
}

impl Fields<'_> {
    /// Returns all fields as the type of the `http` crate, without pseudo-headers.
    pub fn header_map(&self) -> Result<HeaderMap, Error> {
        let entries = self.entries()?;
        header_map(
            entries
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_slice())),
        )
    }

    /// Replaces all fields except pseudo-headers, which remain.
    pub fn replace_headers(&self, headers: &HeaderMap) -> Result<(), Error> {
        let mut entries = self.entries()?;
        replace_headers(&mut entries, headers);
        self.replace_all(&entries)
    }
}

impl From<StatusCode> for LocalResponse {
    fn from(status: StatusCode) -> Self {
        LocalResponse::new(status.as_u16())
    }
}

/// The version and the extensions of the response are left out.
impl<B: Into<Vec<u8>>> From<http::Response<B>> for LocalResponse {
    fn from(response: http::Response<B>) -> Self {
        let (parts, body) = response.into_parts();
        let mut converted = LocalResponse::from(parts.status).body(body);
        for (name, value) in &parts.headers {
            converted = converted.header(name.as_str(), value.as_bytes());
        }
        converted
    }
}

/// The authority is that of the URI, or else the value of `host`. A call without an authority is
/// [rejected](crate::http_calls::send). Headers that the proxy sets itself, such as `content-length`, are left out, and so are version and
/// extensions.
impl<B: Into<Vec<u8>>> From<http::Request<B>> for http_calls::Request {
    fn from(request: http::Request<B>) -> Self {
        let (parts, body) = request.into_parts();
        let host = || parts.headers.get(HOST)?.to_str().ok();
        let authority = parts.uri.authority().map(Authority::as_str).or_else(host);
        let path = parts.uri.path_and_query().map_or("/", PathAndQuery::as_str);
        let method = parts.method.as_str();
        let mut converted = http_calls::Request::new(method, authority.unwrap_or_default(), path);
        for (name, value) in &parts.headers {
            if !http_calls::is_set_by_proxy(name.as_str()) {
                converted = converted.header(name.as_str(), value.as_bytes());
            }
        }
        converted.body(body)
    }
}

/// Trailers are left out. The error is [`Error::Malformed`].
impl TryFrom<http_calls::Response> for http::Response<Vec<u8>> {
    type Error = Error;

    fn try_from(response: http_calls::Response) -> Result<Self, Error> {
        let status = response.status().map(StatusCode::from_u16);
        let Some(Ok(status)) = status else {
            return Err(Error::Malformed);
        };
        let headers = header_map(response.headers())?;
        let mut converted = http::Response::new(response.into_body());
        *converted.status_mut() = status;
        *converted.headers_mut() = headers;
        Ok(converted)
    }
}

fn uri(
    scheme: Option<Vec<u8>>,
    authority: Option<Vec<u8>>,
    path: Option<Vec<u8>>,
) -> Result<Uri, Error> {
    let mut parts = http::uri::Parts::default();
    // The crate accepts a scheme only together with an authority.
    if let Some(authority) = authority.filter(|authority| !authority.is_empty()) {
        let authority = Authority::try_from(authority.as_slice());
        parts.authority = Some(authority.map_err(|_| Error::Malformed)?);
        let scheme = match &scheme {
            Some(scheme) => Scheme::try_from(scheme.as_slice()),
            None => Ok(Scheme::HTTP),
        };
        parts.scheme = Some(scheme.map_err(|_| Error::Malformed)?);
    }
    let path = match &path {
        Some(path) => PathAndQuery::try_from(path.as_slice()),
        None => Ok(PathAndQuery::from_static("/")),
    };
    parts.path_and_query = Some(path.map_err(|_| Error::Malformed)?);
    Uri::from_parts(parts).map_err(|_| Error::Malformed)
}

fn header_map<'a>(fields: impl Iterator<Item = (&'a str, &'a [u8])>) -> Result<HeaderMap, Error> {
    let mut map = HeaderMap::new();
    for (name, value) in fields.filter(|(name, _)| !name.starts_with(':')) {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| Error::Malformed)?;
        let value = HeaderValue::from_bytes(value).map_err(|_| Error::Malformed)?;
        // More than 32768 fields; no proxy accepts so many.
        map.try_append(name, value).map_err(|_| Error::TooLarge)?;
    }
    Ok(map)
}

fn replace_headers(entries: &mut Vec<(String, Vec<u8>)>, headers: &HeaderMap) {
    entries.retain(|(name, _)| name.starts_with(':'));
    for (name, value) in headers {
        entries.push((name.as_str().to_owned(), value.as_bytes().to_vec()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bindings::http_call_types;

    fn fields(fields: &[(&str, &str)]) -> Vec<(String, Vec<u8>)> {
        let fields = fields.iter();
        fields
            .map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec()))
            .collect()
    }

    #[test]
    fn responses_become_local_responses() {
        let response = http::Response::builder()
            .status(429)
            .header("retry-after", "1")
            .header("set-cookie", "a=1")
            .header("set-cookie", "b=2")
            .body("later")
            .expect("a response");
        let response = LocalResponse::from(response).into_inner();
        assert_eq!(response.status, 429);
        assert_eq!(response.body, b"later");
        let headers = [
            ("retry-after", "1"),
            ("set-cookie", "a=1"),
            ("set-cookie", "b=2"),
        ];
        assert_eq!(response.headers, fields(&headers));
        let response = LocalResponse::from(StatusCode::NO_CONTENT).into_inner();
        assert_eq!((response.status, response.body.len()), (204, 0));
    }

    #[test]
    fn requests_become_calls() {
        let request = http::Request::post("https://auth.internal:8443/check?a=b")
            .header("host", "other")
            .header("content-length", "5")
            .header("x-one", "1")
            .body("hello")
            .expect("a request");
        let request = http_calls::Request::from(request).into_inner();
        let expected = [
            (":method", "POST"),
            (":path", "/check?a=b"),
            (":authority", "auth.internal:8443"),
            ("x-one", "1"),
        ];
        assert_eq!(request.headers, fields(&expected));
        assert_eq!(request.body, b"hello");
        let request = http::Request::get("/check").header("host", "auth.internal");
        let request = http_calls::Request::from(request.body("").expect("a request")).into_inner();
        let expected = [
            (":method", "GET"),
            (":path", "/check"),
            (":authority", "auth.internal"),
        ];
        assert_eq!(request.headers, fields(&expected));
        let request = http::Request::new("");
        let request = http_calls::Request::from(request).into_inner();
        assert_eq!(
            request.headers,
            fields(&[(":method", "GET"), (":path", "/"), (":authority", "")])
        );
    }

    #[test]
    fn outcomes_become_responses() {
        let response = |status: &str| {
            let headers = [(":status", status), ("x-a", "1"), ("x-a", "2")];
            let outcome = http_call_types::Outcome::Response(http_call_types::Response {
                headers: fields(&headers),
                body: b"hello".to_vec(),
                trailers: Vec::new(),
            });
            let http_calls::Outcome::Response(response) = http_calls::Outcome::new(outcome) else {
                panic!("a response remains one");
            };
            http::Response::try_from(response)
        };
        let converted = response("204").expect("a response");
        assert_eq!(converted.status(), StatusCode::NO_CONTENT);
        assert_eq!(converted.headers().len(), 2);
        assert_eq!(converted.headers().get_all("x-a").iter().count(), 2);
        assert_eq!(converted.body(), b"hello");
        assert_eq!(response("20").err(), Some(Error::Malformed));
        assert_eq!(response("none").err(), Some(Error::Malformed));
    }

    #[test]
    fn uris_have_the_parts_that_are_known() {
        let of = |scheme: Option<&str>, authority: Option<&str>, path: Option<&str>| {
            let [scheme, authority, path] =
                [scheme, authority, path].map(|part| part.map(|part| part.as_bytes().to_vec()));
            uri(scheme, authority, path).map(|uri| uri.to_string())
        };
        let https = Some("https");
        assert_eq!(
            of(https, Some("a:1"), Some("/b?c=d")).as_deref(),
            Ok("https://a:1/b?c=d")
        );
        assert_eq!(of(None, Some("a"), Some("/")).as_deref(), Ok("http://a/"));
        assert_eq!(of(https, None, Some("/b")).as_deref(), Ok("/b"));
        assert_eq!(of(None, Some(""), None).as_deref(), Ok("/"));
        assert_eq!(of(https, Some("a b"), Some("/")), Err(Error::Malformed));
        assert_eq!(of(https, Some("a"), Some("/ b")), Err(Error::Malformed));
    }

    #[test]
    fn pseudo_headers_are_kept_apart() {
        let mut entries = fields(&[(":path", "/"), ("x-a", "1"), ("x-a", "2"), ("x-b", "3")]);
        let borrowed = entries
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_slice()));
        let mut map = header_map(borrowed).expect("headers");
        assert_eq!(map.len(), 3);
        map.remove("x-a");
        map.insert("x-c", HeaderValue::from_static("4"));
        replace_headers(&mut entries, &map);
        assert_eq!(
            entries,
            fields(&[(":path", "/"), ("x-b", "3"), ("x-c", "4")])
        );
        let invalid = [("x-a", &b"\n"[..])];
        assert_eq!(
            header_map(invalid.into_iter()).err(),
            Some(Error::Malformed)
        );
    }
}
