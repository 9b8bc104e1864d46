//! What Kubernetes asks of any object's metadata: the types of all fields, and of the values what it asks when an object is created.
//!
//! The API server writes some fields itself (`uid`, `creationTimestamp`, `generation`). What a new object has in them it throws
//! away, but not before it has decoded it, so that of these nothing but the type counts.

use super::super::checks::metadata as checks;
use super::super::schema::{Check, Field, Schema, Shape, Test};

pub static METADATA: Schema = Schema {
    shape: Shape::Object(&[&[
        Field::optional(
            "name",
            &Schema::string(&[Check::object(
                "dns-subdomain",
                "a DNS subdomain",
                checks::object_name,
            )]),
        ),
        Field::optional(
            "generateName",
            &Schema::string(&[Check::object(
                "dns-subdomain",
                "begins a DNS subdomain",
                checks::name_prefix,
            )]),
        ),
        Field::optional(
            "namespace",
            &Schema::string(&[Check::object("dns-label", "a DNS label", checks::namespace)]),
        ),
        Field::optional("labels", &LABELS),
        Field::optional("annotations", &ANNOTATIONS),
        Field::optional("finalizers", &FINALIZERS),
        Field::optional("ownerReferences", &OWNERS),
        Field::optional(
            "managedFields",
            &Schema::of(Shape::List {
                items: &MANAGED,
                key: None,
            }),
        ),
        Field::optional("creationTimestamp", &TIME),
        Field::optional("deletionTimestamp", &TIME),
        Field::optional("deletionGracePeriodSeconds", &INTEGER),
        Field::optional("generation", &INTEGER),
        Field::optional("resourceVersion", &STRING),
        Field::optional("selfLink", &STRING),
        Field::optional("uid", &STRING),
    ]]),
    nullable: false,
    checks: &[Check::object(
        "named",
        "a name or a generateName",
        checks::named,
    )],
};

static LABELS: Schema = Schema {
    shape: Shape::Map(&Schema::string(&[Check::object(
        "label-value",
        "a label value",
        checks::label_value,
    )])),
    nullable: false,
    checks: &[Check::object(
        "qualified-name",
        "keys are qualified names",
        checks::label_keys,
    )],
};

static ANNOTATIONS: Schema = Schema {
    shape: Shape::Map(&STRING),
    nullable: false,
    checks: &[
        Check::object(
            "qualified-name",
            "keys are qualified names but for their case",
            checks::annotation_keys,
        ),
        Check::object(
            "size",
            "262144 bytes or fewer altogether",
            checks::annotations_size,
        ),
        Check::webhook(
            "reserved",
            Test::Node("none of those that istiod refuses", checks::not_istiods),
        ),
    ],
};

static FINALIZERS: Schema = Schema {
    shape: Shape::List {
        items: &Schema::string(&[Check::object(
            "qualified-name",
            "a qualified name",
            checks::finalizer,
        )]),
        key: None,
    },
    nullable: false,
    checks: &[Check::object(
        "exclusive",
        "not both of orphan and foregroundDeletion",
        checks::one_deletion,
    )],
};

static OWNERS: Schema = Schema {
    shape: Shape::List {
        items: &OWNER,
        key: None,
    },
    nullable: false,
    checks: &[Check::object(
        "one-controller",
        "one controller at most",
        checks::one_controller,
    )],
};

static OWNER: Schema = Schema {
    shape: Shape::Object(&[&[
        Field::required(
            "apiVersion",
            &Schema::string(&[Check::object(
                "version",
                "names a version",
                checks::api_version,
            )]),
        ),
        Field::required("kind", &NOT_EMPTY),
        Field::required("name", &NOT_EMPTY),
        Field::required("uid", &NOT_EMPTY),
        Field::optional("controller", &BOOLEAN),
        Field::optional("blockOwnerDeletion", &BOOLEAN),
    ]]),
    nullable: false,
    checks: &[Check::object("allowed", "no Event", checks::no_event)],
};

/// Entries that the API server cannot use it drops, as it does null.
static MANAGED: Schema = Schema {
    shape: Shape::Object(&[&[
        Field::optional("manager", &STRING),
        Field::optional("operation", &STRING),
        Field::optional("apiVersion", &STRING),
        Field::optional("time", &TIME),
        Field::optional("fieldsType", &STRING),
        Field::optional("fieldsV1", &Schema::of(Shape::Any)),
        Field::optional("subresource", &STRING),
    ]]),
    nullable: true,
    checks: &[],
};

static STRING: Schema = Schema::string(&[]);

static NOT_EMPTY: Schema = Schema::string(&[Check::of_object("minLength", Test::MinLength(1))]);

static INTEGER: Schema = Schema::of(Shape::Integer);

static BOOLEAN: Schema = Schema::of(Shape::Boolean);

static TIME: Schema = Schema::string(&[Check::object(
    "date-time",
    "a time as RFC 3339 has it",
    checks::time,
)]);
