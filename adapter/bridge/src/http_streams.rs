//! `http-streams`: a handle is its stream's context id, so there is nothing to keep and nothing to free.

#[unsafe(export_name = "http-streams#[resource-drop]http-stream")]
extern "C" fn drop_http_stream(_: u32) {}

#[unsafe(export_name = "http-streams#[method]http-stream.id")]
extern "C" fn id(http: u32) -> u32 {
    http
}
