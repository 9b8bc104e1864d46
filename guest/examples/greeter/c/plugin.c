// Adds `x-greeting` to every response, and counts them. The configuration is the greeting itself; `hello` if there is none.

#include "greeter.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct exports_tidegate_proxy_plugin_plugin_context_t {
    greeter_list_u8_t greeting;
    tidegate_proxy_metrics_own_counter_t greeted;
};
struct exports_tidegate_proxy_http_filter_filter_t {
    greeter_list_u8_t greeting;
    tidegate_proxy_metrics_borrow_counter_t greeted;
    tidegate_proxy_http_streams_own_http_stream_t http;
};

bool exports_tidegate_proxy_plugin_static_plugin_context_configure(greeter_list_u8_t *configuration,
        exports_tidegate_proxy_plugin_own_plugin_context_t *ret, greeter_string_t *err) {
    if (configuration->len > 64) { greeter_string_dup(err, "the greeting is longer than 64 bytes"); return false; }
    exports_tidegate_proxy_plugin_plugin_context_t *plugin = malloc(sizeof *plugin);
    plugin->greeting = *configuration;
    greeter_string_t name;
    greeter_string_set(&name, "greeter.greeted");
    tidegate_proxy_metrics_error_t error;
    if (!tidegate_proxy_metrics_static_counter_define(&name, &plugin->greeted, &error)) {
        greeter_string_dup(err, "failed to define the counter");
        return false;
    }
    *ret = exports_tidegate_proxy_plugin_plugin_context_new(plugin);
    return true;
}
void exports_tidegate_proxy_plugin_plugin_context_destructor(exports_tidegate_proxy_plugin_plugin_context_t *plugin) {
    tidegate_proxy_metrics_counter_drop_own(plugin->greeted);
    free(plugin->greeting.ptr);
    free(plugin);
}
exports_tidegate_proxy_http_filter_own_filter_t exports_tidegate_proxy_http_filter_constructor_filter(
        exports_tidegate_proxy_http_filter_borrow_plugin_context_t plugin,
        exports_tidegate_proxy_http_filter_own_http_stream_t http) {
    exports_tidegate_proxy_http_filter_filter_t *filter = malloc(sizeof *filter);
    // The plugin is borrowed for this call, so what is needed of it is copied.
    filter->greeting.len = plugin->greeting.len;
    filter->greeting.ptr = malloc(plugin->greeting.len);
    memcpy(filter->greeting.ptr, plugin->greeting.ptr, plugin->greeting.len);
    filter->greeted = tidegate_proxy_metrics_borrow_counter(plugin->greeted);
    filter->http = http;
    return exports_tidegate_proxy_http_filter_filter_new(filter);
}
void exports_tidegate_proxy_http_filter_filter_destructor(exports_tidegate_proxy_http_filter_filter_t *filter) {
    tidegate_proxy_http_streams_http_stream_drop_own(filter->http);
    free(filter->greeting.ptr);
    free(filter);
}
exports_tidegate_proxy_on_response_headers_action_t exports_tidegate_proxy_on_response_headers_handle(
        exports_tidegate_proxy_on_response_headers_borrow_filter_t filter, bool end_of_stream) {
    greeter_string_t name;
    greeter_string_set(&name, "x-greeting");
    greeter_list_u8_t hello = { (uint8_t *)"hello", 5 };
    tidegate_proxy_http_fields_error_t error;
    tidegate_proxy_http_fields_append(tidegate_proxy_http_streams_borrow_http_stream(filter->http),
        TIDEGATE_PROXY_HTTP_FIELDS_FIELD_MAP_RESPONSE_HEADERS, &name,
        filter->greeting.len ? &filter->greeting : &hello, &error);
    tidegate_proxy_metrics_method_counter_add(filter->greeted, 1);
    char text[32];
    snprintf(text, sizeof text, "greeted %llu", (unsigned long long)tidegate_proxy_metrics_method_counter_value(filter->greeted));
    greeter_string_t message;
    greeter_string_set(&message, text);
    tidegate_proxy_logging_log(TIDEGATE_PROXY_LOGGING_LEVEL_DEBUG, &message);
    return TIDEGATE_PROXY_TYPES_ACTION_CONTINUE;
}
