//! The rule table: every field of both kinds, with what the CRD's schema, its CEL rules and istiod's webhook ask of it.
//!
//! Written from the CRDs of Istio 1.32-dev. What both kinds have is written once: a `WasmPlugin`'s fields are those of a
//! `TrafficExtension`'s `wasm`, and both select and match in the same way. `checks.rs` has what does not fit into a line, and
//! `table/metadata.rs` what any object has.

mod metadata;

use super::Kind;
use super::checks;
use super::schema::{Check, Field, Schema, Shape, Test};

/// The root of a document.
pub fn root(kind: Kind) -> &'static Schema {
    match kind {
        Kind::WasmPlugin => &WASM_PLUGIN,
        Kind::TrafficExtension => &TRAFFIC_EXTENSION,
    }
}

static WASM_PLUGIN: Schema = Schema::of(Shape::Object(&[
    ROOT,
    &[
        Field::required(
            "kind",
            &Schema::string(&[Check::schema("enum", Test::OneOf(&["WasmPlugin"]))]),
        ),
        Field::required("spec", &WASM_PLUGIN_SPEC),
    ],
]));

static TRAFFIC_EXTENSION: Schema = Schema::of(Shape::Object(&[
    ROOT,
    &[
        Field::required(
            "kind",
            &Schema::string(&[Check::schema("enum", Test::OneOf(&["TrafficExtension"]))]),
        ),
        Field::required("spec", &TRAFFIC_EXTENSION_SPEC),
    ],
]));

static ROOT: &[Field] = &[
    Field::required(
        "apiVersion",
        &Schema::string(&[Check::schema(
            "enum",
            Test::OneOf(&["extensions.istio.io/v1alpha1"]),
        )]),
    ),
    Field::required("metadata", &metadata::METADATA),
    Field::optional("status", &STATUS),
];

static WASM_PLUGIN_SPEC: Schema = Schema {
    shape: Shape::Object(&[
        WASM,
        SELECTION,
        &[
            Field::optional(
                "phase",
                &Schema::string(&[Check::schema(
                    "enum",
                    Test::OneOf(&["UNSPECIFIED_PHASE", "AUTHN", "AUTHZ", "STATS"]),
                )]),
            ),
            Field::optional("targetRef", &TARGET),
        ],
    ]),
    nullable: false,
    checks: &[Check::cel(
        "one-target",
        "at most one of selector, targetRef and targetRefs",
        checks::one_target,
    )],
};

static TRAFFIC_EXTENSION_SPEC: Schema = Schema {
    shape: Shape::Object(&[
        SELECTION,
        &[
            Field::optional(
                "phase",
                &Schema::string(&[Check::schema(
                    "enum",
                    Test::OneOf(&["UNSPECIFIED", "AUTHN", "AUTHZ", "STATS"]),
                )]),
            ),
            Field::optional("wasm", &Schema::of(Shape::Object(&[WASM]))),
            Field::optional("lua", &Schema::of(Shape::Object(&[LUA]))),
        ],
    ]),
    nullable: false,
    checks: &[
        Check::schema(
            "oneOf",
            Test::Node("not both of wasm and lua", checks::not_wasm_and_lua),
        ),
        Check::cel("wasm-or-lua", "one of wasm and lua", checks::wasm_or_lua),
        Check::cel(
            "one-target",
            "at most one of selector, targetRef and targetRefs",
            checks::one_target,
        ),
    ],
};

/// What runs as WebAssembly.
static WASM: &[Field] = &[
    Field::required(
        "url",
        &Schema::string(&[
            Check::schema("minLength", Test::MinLength(1)),
            Check::cel(
                "scheme",
                "a URL with the scheme oci, http, https or file, or with none",
                checks::url,
            ),
        ]),
    ),
    Field::optional(
        "sha256",
        &Schema::string(&[Check::schema(
            "pattern",
            Test::Pattern {
                regex: "(^$|^[a-f0-9]{64}$)",
                fits: checks::is_sha256,
            },
        )
        .mend("write 64 lower case hexadecimal digits in quotes, without `sha256:`")]),
    ),
    Field::optional(
        "imagePullPolicy",
        &Schema::string(&[Check::schema(
            "enum",
            Test::OneOf(&["UNSPECIFIED_POLICY", "IfNotPresent", "Always"]),
        )]),
    ),
    Field::optional(
        "imagePullSecret",
        &Schema::string(&[
            Check::schema("minLength", Test::MinLength(1)),
            Check::schema("maxLength", Test::MaxLength(253)),
            Check::webhook("maxBytes", Test::MaxBytes(253)),
        ]),
    ),
    Field::optional("verificationKey", &Schema::string(&[])),
    Field::optional("pluginConfig", &Schema::of(Shape::Open)),
    Field::optional(
        "pluginName",
        &Schema::string(&[
            Check::schema("minLength", Test::MinLength(1)),
            Check::schema("maxLength", Test::MaxLength(256)),
            Check::webhook("maxBytes", Test::MaxBytes(256)),
        ]),
    ),
    Field::optional(
        "failStrategy",
        &Schema::string(&[Check::schema(
            "enum",
            Test::OneOf(&["FAIL_CLOSE", "FAIL_OPEN", "FAIL_RELOAD"]),
        )]),
    ),
    Field::optional(
        "vmConfig",
        &Schema::of(Shape::Object(&[&[Field::optional("env", &VARIABLES)]])),
    ),
    Field::optional(
        "type",
        &Schema::string(&[Check::schema(
            "enum",
            Test::OneOf(&["UNSPECIFIED_PLUGIN_TYPE", "HTTP", "NETWORK"]),
        )]),
    ),
];

static VARIABLES: Schema = Schema {
    shape: Shape::List {
        items: &VARIABLE,
        key: Some("name"),
    },
    nullable: false,
    checks: &[Check::schema("maxItems", Test::MaxItems(256))],
};

static VARIABLE: Schema = Schema {
    shape: Shape::Object(&[&[
        Field::required(
            "name",
            &Schema::string(&[
                Check::schema("minLength", Test::MinLength(1)),
                Check::schema("maxLength", Test::MaxLength(256)),
                Check::webhook("maxBytes", Test::MaxBytes(256)),
            ]),
        ),
        Field::optional(
            "value",
            &Schema::string(&[Check::schema("maxLength", Test::MaxLength(2048))]),
        ),
        Field::optional(
            "valueFrom",
            &Schema::string(&[Check::schema("enum", Test::OneOf(&["INLINE", "HOST"]))]),
        ),
    ]]),
    nullable: false,
    checks: &[Check::cel(
        "inline",
        "a value only without valueFrom: HOST",
        checks::value_only_inline,
    )],
};

static LUA: &[Field] = &[Field::required(
    "inlineCode",
    &Schema::string(&[
        Check::schema("minLength", Test::MinLength(1)),
        Check::schema("maxLength", Test::MaxLength(65536)),
        Check::webhook("maxBytes", Test::MaxBytes(65536)),
    ]),
)];

/// Where it runs, for what, and in which order.
static SELECTION: &[Field] = &[
    Field::optional(
        "selector",
        &Schema::of(Shape::Object(&[&[Field::optional("matchLabels", &LABELS)]])),
    ),
    Field::optional(
        "targetRefs",
        &Schema {
            shape: Shape::List {
                items: &TARGET,
                key: None,
            },
            nullable: false,
            checks: &[Check::schema("maxItems", Test::MaxItems(16))],
        },
    ),
    Field::optional(
        "match",
        &Schema::of(Shape::List {
            items: &MATCH,
            key: None,
        }),
    ),
    Field::optional(
        "priority",
        &Schema {
            shape: Shape::Integer,
            nullable: true,
            checks: &[Check::schema("format", Test::Int32)],
        },
    ),
];

static LABELS: Schema = Schema {
    shape: Shape::Map(&Schema::string(&[
        Check::schema("maxLength", Test::MaxLength(63)),
        Check::cel("wildcard", "no * in it", checks::no_wildcard_in_value),
    ])),
    nullable: false,
    checks: &[
        Check::schema("maxProperties", Test::MaxProperties(4096)),
        Check::cel("wildcard", "no * in a key", checks::no_wildcard_in_key),
        Check::cel("empty-key", "no empty key", checks::no_empty_key),
    ],
};

static TARGET: Schema = Schema {
    shape: Shape::Object(&[&[
        Field::optional(
            "group",
            &Schema::string(&[
                Check::schema("maxLength", Test::MaxLength(253)),
                Check::schema(
                    "pattern",
                    Test::Pattern {
                        regex: r"^$|^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
                        fits: checks::is_group,
                    },
                )
                .mend("write the API group without a version, such as `gateway.networking.k8s.io`"),
            ]),
        ),
        Field::required(
            "kind",
            &Schema::string(&[
                Check::schema("minLength", Test::MinLength(1)),
                Check::schema("maxLength", Test::MaxLength(63)),
                Check::schema(
                    "pattern",
                    Test::Pattern {
                        regex: "^[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?$",
                        fits: checks::is_kind,
                    },
                )
                .mend("write the kind alone, such as `Gateway`"),
            ]),
        ),
        Field::required(
            "name",
            &Schema::string(&[
                Check::schema("minLength", Test::MinLength(1)),
                Check::schema("maxLength", Test::MaxLength(253)),
            ]),
        ),
        Field::optional(
            "namespace",
            &Schema::string(&[Check::cel("same-namespace", "empty", checks::no_namespace)]),
        ),
    ]]),
    nullable: false,
    checks: &[Check::webhook("allowed", Test::Node("a Service, ServiceEntry, Gateway or GatewayClass", checks::allowed_target))],
};

static MATCH: Schema = Schema::of(Shape::Object(&[&[
    Field::optional(
        "mode",
        &Schema::string(&[Check::schema(
            "enum",
            Test::OneOf(&["UNDEFINED", "CLIENT", "SERVER", "CLIENT_AND_SERVER"]),
        )]),
    ),
    Field::optional(
        "ports",
        &Schema::of(Shape::List {
            items: &Schema::of(Shape::Object(&[&[Field::required("number", &PORT)]])),
            key: Some("number"),
        }),
    ),
]]));

static PORT: Schema = Schema {
    shape: Shape::Integer,
    nullable: false,
    checks: &[
        Check::schema("minimum", Test::Minimum(1)),
        Check::schema("maximum", Test::Maximum(65535)),
    ],
};

/// Of a new object it is thrown away before its types are looked at, and after its fields are.
static STATUS: Schema = Schema {
    shape: Shape::Any,
    nullable: false,
    checks: &[Check::strict(
        "unknown",
        "has no fields below its own but those of the definition",
        checks::known_status,
    )],
};
