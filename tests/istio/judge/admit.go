package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/hashicorp/go-multierror"
	"google.golang.org/protobuf/types/known/structpb"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structuralschema "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/objectmeta"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metavalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	kubeyaml "k8s.io/apimachinery/pkg/util/yaml"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"k8s.io/apiserver/pkg/storage/names"

	extensions "istio.io/api/extensions/v1alpha1"
	"istio.io/istio/pilot/pkg/config/kube/crd"
	"istio.io/istio/pkg/config/schema/collections"
	"istio.io/istio/pkg/config/schema/resource"
	"istio.io/istio/pkg/util/protomarshal"
)

// What `kubectl apply` is given: a stream of documents.
type validateRequest struct {
	Documents string `json:"documents"`
}

// The answer to one document: admitted when nobody refuses it.
type verdict struct {
	Kind     string    `json:"kind"`
	Name     string    `json:"name"`
	Refusals []refusal `json:"refusals"`
	Warnings []string  `json:"warnings"`
	// What istiod tells the plugin, where it is admitted and has a configuration.
	Configuration string `json:"configuration,omitempty"`
}

// Who refuses a document, and why. A document that one refuses does not come to the next, except that schema and CEL may both speak.
type refusal struct {
	By      string `json:"by"`
	Message string `json:"message"`
}

// In the order in which a document comes to them.
const (
	byDecode  = "decode"  // kubectl and the API server: YAML, known kind, known fields, well-formed metadata
	bySchema  = "schema"  // the API server: names, types, patterns, bounds, sets and maps
	byCEL     = "cel"     // the API server: x-kubernetes-validations
	byWebhook = "webhook" // istiod
)

type judge struct {
	definitions []apiextensionsv1.CustomResourceDefinition
	// Made when first asked for: CEL programs take a while to compile.
	kinds map[string]*kind
}

// One version of one kind, as the API server holds it.
type kind struct {
	namespaced bool
	hasStatus  bool
	validator  validation.SchemaValidator
	structural *structuralschema.Structural
	cel        *cel.Validator
}

func readDefinitions(path string) ([]apiextensionsv1.CustomResourceDefinition, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	decoder := kubeyaml.NewYAMLOrJSONDecoder(file, 4096)
	var definitions []apiextensionsv1.CustomResourceDefinition
	for {
		var definition apiextensionsv1.CustomResourceDefinition
		if err := decoder.Decode(&definition); errors.Is(err, io.EOF) {
			return definitions, nil
		} else if err != nil {
			return nil, err
		}
		if definition.Kind == "CustomResourceDefinition" {
			definitions = append(definitions, definition)
		}
	}
}

// Every document of the stream, up to one that is no YAML: there kubectl stops.
func (j *judge) validate(asked validateRequest) ([]verdict, error) {
	decoder := kubeyaml.NewYAMLOrJSONDecoder(asKubectl(asked.Documents), 4096)
	verdicts := []verdict{}
	for {
		var document runtime.RawExtension
		if err := decoder.Decode(&document); errors.Is(err, io.EOF) {
			return verdicts, nil
		} else if err != nil {
			return append(verdicts, refused(byDecode, err.Error())), nil
		}
		raw := bytes.TrimSpace(document.Raw)
		if len(raw) == 0 || bytes.Equal(raw, []byte("null")) {
			continue
		}
		decoded, _, err := unstructured.UnstructuredJSONScheme.Decode(raw, nil, nil)
		if err != nil {
			verdicts = append(verdicts, refused(byDecode, err.Error()))
			continue
		}
		// Before it asks, kubectl validates this much by itself (kubectl/pkg/validation).
		content := decoded.(runtime.Unstructured).UnstructuredContent()
		if version := content["apiVersion"]; version == nil {
			verdicts = append(verdicts, refused(byDecode, "apiVersion not set"))
			continue
		} else if _, isText := version.(string); !isText {
			verdicts = append(verdicts, refused(byDecode, "apiVersion isn't string type"))
			continue
		}
		objects, err := flatten(decoded)
		if err != nil {
			verdicts = append(verdicts, refused(byDecode, err.Error()))
			continue
		}
		for _, object := range objects {
			verdict, err := j.admit(object)
			if err != nil {
				return nil, err
			}
			verdicts = append(verdicts, verdict)
		}
	}
}

// kubectl applies what is in a list one by one (FlattenListVisitor of cli-runtime). An item with items is a list to it, too, and one
// that it cannot open.
func flatten(decoded runtime.Object) ([]*unstructured.Unstructured, error) {
	var objects []*unstructured.Unstructured
	open := []runtime.Object{decoded}
	for len(open) > 0 {
		object := open[0]
		open = open[1:]
		if single, is := object.(*unstructured.Unstructured); is && !meta.IsListType(object) {
			objects = append(objects, single)
			continue
		}
		items, err := meta.ExtractList(object)
		if err != nil {
			return nil, err
		}
		open = append(open, items...)
	}
	return objects, nil
}

// One document's way, with strict field validation as kubectl asks for it; an error is not a verdict.
func (j *judge) admit(object *unstructured.Unstructured) (verdict, error) {
	answer := verdict{Kind: object.GetKind(), Name: object.GetName(), Refusals: []refusal{}, Warnings: []string{}}
	kind, err := j.kind(object.GroupVersionKind())
	if err != nil {
		return verdict{}, err
	}
	if kind == nil {
		return answer.refuse(byDecode, fmt.Sprintf("no matches for kind %q in version %q", object.GetKind(), object.GetAPIVersion())), nil
	}
	if answer.Name == "" && object.GetGenerateName() == "" {
		return answer.refuse(byDecode, "resource name may not be empty"), nil
	}
	// The API server makes up a name, kubectl fills in a namespace; what is there and no string is the decoder's to refuse.
	absent := func(name string) bool {
		value, _, _ := unstructured.NestedFieldNoCopy(object.Object, "metadata", name)
		return value == nil || value == ""
	}
	if absent("name") {
		object.SetName(object.GetGenerateName() + "x7k2p")
	}
	if kind.namespaced && absent("namespace") {
		object.SetNamespace("default")
	}
	if answer = kind.decode(answer, object); len(answer.Refusals) > 0 {
		return answer, nil
	}
	if object.GetName() == "" {
		// `kubectl create` may leave the name to the API server.
		object.SetName(names.SimpleNameGenerator.GenerateName(object.GetGenerateName()))
	}
	if answer = kind.check(answer, object); len(answer.Refusals) > 0 {
		return answer, nil
	}
	if !strings.HasSuffix(object.GroupVersionKind().Group, ".istio.io") {
		// istiod's webhook is asked about Istio's groups alone, and Envoy Gateway has none.
		return answer, nil
	}
	return webhook(answer, object)
}

func refused(by, message string) verdict {
	return verdict{Warnings: []string{}}.refuse(by, message)
}

func (v verdict) refuse(by string, messages ...string) verdict {
	for _, message := range messages {
		v.Refusals = append(v.Refusals, refusal{By: by, Message: message})
	}
	return v
}

func (v verdict) refuseAll(by string, errs field.ErrorList) verdict {
	for _, err := range errs {
		v = v.refuse(by, err.Error())
	}
	return v
}

func (j *judge) kind(gvk schema.GroupVersionKind) (*kind, error) {
	if known, found := j.kinds[gvk.String()]; found {
		return known, nil
	}
	for _, definition := range j.definitions {
		if definition.Spec.Group != gvk.Group || definition.Spec.Names.Kind != gvk.Kind {
			continue
		}
		for _, version := range definition.Spec.Versions {
			if version.Name != gvk.Version || !version.Served {
				continue
			}
			made, err := newKind(definition, version)
			if err != nil {
				return nil, fmt.Errorf("the definition of %v: %w", gvk, err)
			}
			j.kinds[gvk.String()] = made
			return made, nil
		}
	}
	return nil, nil
}

func newKind(definition apiextensionsv1.CustomResourceDefinition, version apiextensionsv1.CustomResourceDefinitionVersion) (*kind, error) {
	var internal apiextensions.JSONSchemaProps
	if err := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(version.Schema.OpenAPIV3Schema, &internal, nil); err != nil {
		return nil, err
	}
	validator, _, err := validation.NewSchemaValidator(&internal)
	if err != nil {
		return nil, err
	}
	structural, err := structuralschema.NewStructural(&internal)
	if err != nil {
		return nil, err
	}
	return &kind{
		namespaced: definition.Spec.Scope == apiextensionsv1.NamespaceScoped,
		hasStatus:  version.Subresources != nil && version.Subresources.Status != nil,
		validator:  validator,
		structural: structural,
		cel:        cel.NewValidator(structural, true, celconfig.PerCallLimit),
	}, nil
}

// What the API server's decoder of custom resources does (apiserver/customresource_handler.go, unstructuredSchemaCoercer).
func (k *kind) decode(answer verdict, object *unstructured.Unstructured) verdict {
	meta, found, unknown, err := objectmeta.GetObjectMetaWithOptions(object.Object, objectmeta.ObjectMetaOptions{ReturnUnknownFieldPaths: true})
	if err != nil {
		return answer.refuse(byDecode, err.Error())
	}
	track := structuralschema.UnknownFieldPathOptions{TrackUnknownFieldPaths: true}
	unknown = append(unknown, pruning.PruneWithOptions(object.Object, k.structural, true, track)...)
	defaulting.PruneNonNullableNullsWithoutDefaults(object.Object, k.structural)
	invalid, more := objectmeta.CoerceWithOptions(nil, object.Object, k.structural, false, objectmeta.CoerceOptions{ReturnUnknownFieldPaths: true})
	if invalid != nil {
		return answer.refuse(byDecode, invalid.Error())
	}
	for _, path := range append(unknown, more...) {
		answer = answer.refuse(byDecode, fmt.Sprintf("strict decoding error: unknown field %q", path))
	}
	if found {
		if err := objectmeta.SetObjectMeta(object.Object, meta); err != nil {
			return answer.refuse(byDecode, err.Error())
		}
	}
	defaulting.Default(object.Object, k.structural)
	return answer
}

// What the API server does before it creates a custom resource (endpoints/handlers/create.go, registry/rest/meta.go,
// registry/customresource/strategy.go), in its order.
func (k *kind) check(answer verdict, object *unstructured.Unstructured) verdict {
	object.SetCreationTimestamp(metav1.Time{})
	object.SetUID("")
	object.SetDeletionTimestamp(nil)
	object.SetDeletionGracePeriodSeconds(nil)
	object.SetSelfLink("")
	object.SetOwnerReferences(distinct(object.GetOwnerReferences()))
	// Those that cannot be decoded are dropped, and of the others what the new object has becomes its creator's.
	object.SetManagedFields(nil)
	if k.hasStatus {
		delete(object.Object, "status")
	}
	object.SetGeneration(1)
	errs := metavalidation.ValidateObjectMetaAccessor(object, k.namespaced, metavalidation.NameIsDNSSubdomain, field.NewPath("metadata"))
	errs = append(errs, validation.ValidateCustomResource(nil, object.Object, k.validator)...)
	errs = append(errs, objectmeta.Validate(nil, object.Object, k.structural, false)...)
	errs = append(errs, listtype.ValidateListSetsAndMaps(nil, k.structural, object.Object)...)
	answer = answer.refuseAll(bySchema, errs)
	for _, err := range errs {
		switch err.Type {
		case field.ErrorTypeNotSupported, field.ErrorTypeRequired, field.ErrorTypeTooLong, field.ErrorTypeTooMany, field.ErrorTypeTypeInvalid:
			// CEL needs an object of the right shape.
			return answer
		}
	}
	if k.cel == nil {
		return answer
	}
	errs, _ = k.cel.Validate(context.Background(), nil, k.structural, object.Object, nil, celconfig.RuntimeCELCostBudget)
	return answer.refuseAll(byCEL, errs)
}

// Each owner once (endpoints/handlers/rest.go).
func distinct(owners []metav1.OwnerReference) []metav1.OwnerReference {
	var kept []metav1.OwnerReference
	for _, owner := range owners {
		same := func(other metav1.OwnerReference) bool { return equality.Semantic.DeepEqual(owner, other) }
		if !slices.ContainsFunc(kept, same) {
			kept = append(kept, owner)
		}
	}
	return kept
}

// What istiod's webhook does (pkg/webhooks/validation/server), with the collections that istiod gives it.
func webhook(answer verdict, object *unstructured.Unstructured) (verdict, error) {
	raw, err := json.Marshal(object.Object)
	if err != nil {
		return verdict{}, err
	}
	var config crd.IstioKind
	if err := json.Unmarshal(raw, &config); err != nil {
		return answer.refuse(byWebhook, fmt.Sprintf("cannot decode configuration: %v", err)), nil
	}
	gvk := config.GroupVersionKind()
	known, found := collections.PilotGatewayAPI().FindByGroupKind(resource.FromKubernetesGVK(&gvk))
	if !found {
		return answer.refuse(byWebhook, fmt.Sprintf("unrecognized type %v", gvk)), nil
	}
	converted, err := crd.ConvertObject(known, &config, "cluster.local")
	if err != nil {
		return answer.refuse(byWebhook, fmt.Sprintf("error decoding configuration: %v", err)), nil
	}
	warnings, err := known.ValidateConfig(*converted)
	var several *multierror.Error
	if errors.As(warnings, &several) {
		for _, warning := range several.Errors {
			answer.Warnings = append(answer.Warnings, warning.Error())
		}
	} else if warnings != nil {
		answer.Warnings = append(answer.Warnings, warnings.Error())
	}
	if err != nil {
		return answer.refuse(byWebhook, fmt.Sprintf("configuration is invalid: %v", err)), nil
	}
	answer.Configuration, err = arrives(converted.Spec)
	return answer, err
}

// A plugin's configuration as istiod writes it for Envoy (pilot/pkg/model/extensions.go).
func arrives(spec any) (string, error) {
	var given *structpb.Struct
	switch spec := spec.(type) {
	case *extensions.WasmPlugin:
		given = spec.GetPluginConfig()
	case *extensions.TrafficExtension:
		given = spec.GetWasm().GetPluginConfig()
	}
	if len(given.GetFields()) == 0 {
		return "", nil
	}
	return protomarshal.ToJSON(given)
}
