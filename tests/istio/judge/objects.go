package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"
	"time"

	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	kubeyaml "k8s.io/apimachinery/pkg/util/yaml"
	gateway "sigs.k8s.io/gateway-api/apis/v1"

	"istio.io/istio/pilot/pkg/config/kube/crd"
	"istio.io/istio/pilot/pkg/config/kube/gatewaycommon"
	"istio.io/istio/pkg/config"
	"istio.io/istio/pkg/config/schema/collections"
	"istio.io/istio/pkg/config/schema/gvk"
)

// Of objects that do not say theirs.
const defaultNamespace = "default"

// A file as kubectl takes it, which looks for a byte order mark.
func asKubectl(documents string) io.Reader {
	return transform.NewReader(strings.NewReader(documents), unicode.BOMOverride(unicode.UTF8.NewDecoder()))
}

// All objects of a stream, those in lists among them. Like kubectl it takes no list within a list.
func everything(documents string) ([]*unstructured.Unstructured, error) {
	decoder := kubeyaml.NewYAMLOrJSONDecoder(asKubectl(documents), 4096)
	var objects []*unstructured.Unstructured
	for {
		var document runtime.RawExtension
		if err := decoder.Decode(&document); errors.Is(err, io.EOF) {
			return objects, nil
		} else if err != nil {
			return nil, err
		}
		raw := bytes.TrimSpace(document.Raw)
		if len(raw) == 0 || bytes.Equal(raw, []byte("null")) {
			continue
		}
		decoded, _, err := unstructured.UnstructuredJSONScheme.Decode(raw, nil, nil)
		if err != nil {
			return nil, err
		}
		list, isList := decoded.(*unstructured.UnstructuredList)
		if !isList {
			objects = append(objects, decoded.(*unstructured.Unstructured))
			continue
		}
		for _, item := range list.Items {
			// kubectl fails at a list within a list.
			if item.IsList() {
				return nil, fmt.Errorf("%s is a list within a list", item.GetKind())
			}
			objects = append(objects, &item)
		}
	}
}

// WasmPlugins and TrafficExtensions as istiod reads them. Whether they are admitted is asked elsewhere.
func pluginsIn(objects []*unstructured.Unstructured) ([]config.Config, error) {
	var plugins []config.Config
	for _, object := range objects {
		schema, known := collections.WasmPlugin, true
		switch object.GroupVersionKind().GroupKind() {
		case gvk.WasmPlugin.Kubernetes().GroupKind():
		case gvk.TrafficExtension.Kubernetes().GroupKind():
			schema = collections.TrafficExtension
		default:
			known = false
		}
		if !known {
			continue
		}
		raw, err := json.Marshal(object.Object)
		if err != nil {
			return nil, err
		}
		var kind crd.IstioKind
		if err := json.Unmarshal(raw, &kind); err != nil {
			return nil, err
		}
		converted, err := crd.ConvertObject(schema, &kind, "cluster.local")
		if err != nil {
			return nil, err
		}
		if converted.Namespace == "" {
			converted.Namespace = defaultNamespace
		}
		if converted.CreationTimestamp.IsZero() {
			// All applied in one second, so that names decide.
			converted.CreationTimestamp = time.Unix(1_700_000_000, 0)
		}
		plugins = append(plugins, *converted)
	}
	return plugins, nil
}

// What istiod's deployment controller marks the pods of Gateways with (pilot/pkg/config/kube/gatewaycommon, Reconcile).
func gatewaysIn(objects []*unstructured.Unstructured) (map[string]string, error) {
	classes := maps.Clone(gatewaycommon.BuiltinGatewayClasses)
	for _, object := range objects {
		if object.GroupVersionKind().GroupKind() == gvk.GatewayClass.Kubernetes().GroupKind() {
			var class gateway.GatewayClass
			if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &class); err != nil {
				return nil, err
			}
			classes[gateway.ObjectName(class.Name)] = class.Spec.ControllerName
		}
	}
	gateways := map[string]string{}
	for _, object := range objects {
		if object.GroupVersionKind().GroupKind() == gvk.KubernetesGateway.Kubernetes().GroupKind() {
			var asked gateway.Gateway
			if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &asked); err != nil {
				return nil, err
			}
			namespace := asked.Namespace
			if namespace == "" {
				namespace = defaultNamespace
			}
			info := gatewaycommon.ClassInfos[classes[asked.Spec.GatewayClassName]]
			gateways[namespace+"/"+asked.Name] = info.ControllerLabel
		}
	}
	return gateways, nil
}
