package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	kubeyaml "k8s.io/apimachinery/pkg/util/yaml"
	gwapiv1 "sigs.k8s.io/gateway-api/apis/v1"

	egv1a1 "github.com/envoyproxy/gateway/api/v1alpha1"
	"github.com/envoyproxy/gateway/internal/envoygateway"
	"github.com/envoyproxy/gateway/internal/gatewayapi/resource"
)

// Where everything is, and where Envoy Gateway is.
const namespace, controllerNamespace = "default", "envoy-gateway-system"

var decoder = serializer.NewCodecFactory(envoygateway.GetScheme()).UniversalDeserializer()

// load gives the resources that the translator would find in a cluster, and why others are not there: their definition's schema or
// CEL rules refuse them. Envoy Gateway's own loader of files is not used, because it leaves ListenerSets out and makes every number
// of a configuration a double.
func load(documents []byte) (*resource.Resources, []string, error) {
	resources := resource.NewResources()
	refusals := []string{}
	reader := kubeyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(documents)))
	for {
		document, err := reader.Read()
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, nil, err
		}
		object, err := decode(document)
		if err != nil {
			return nil, nil, err
		}
		kind := object.GetObjectKind().GroupVersionKind()
		if kind.Group != corev1.GroupName {
			if err := resource.GetDefaultValidator().Validate(document); err != nil {
				refusals = append(refusals, fmt.Sprintf("%s: %v", kind.Kind, err))
				continue
			}
		}
		if err := add(resources, object); err != nil {
			return nil, nil, err
		}
	}
	if resources.GatewayClass == nil {
		return nil, nil, errors.New("no GatewayClass is admitted")
	}
	resources.Namespaces = []*corev1.Namespace{{ObjectMeta: metav1.ObjectMeta{Name: namespace}}}
	resources.Sort()
	return resources, refusals, nil
}

// decode reads a document as a client of the API server does: numbers without a type have been 64-bit integers or doubles.
func decode(document []byte) (runtime.Object, error) {
	sent, err := kubeyaml.ToJSON(document)
	if err != nil {
		return nil, err
	}
	var stored unstructured.Unstructured
	if err := stored.UnmarshalJSON(sent); err != nil {
		return nil, err
	}
	stored.SetNamespace(namespace)
	received, err := stored.MarshalJSON()
	if err != nil {
		return nil, err
	}
	object, _, err := decoder.Decode(received, nil, nil)
	return object, err
}

func add(resources *resource.Resources, object runtime.Object) error {
	switch object := object.(type) {
	case *gwapiv1.GatewayClass:
		resources.GatewayClass = object
	case *gwapiv1.Gateway:
		resources.Gateways = append(resources.Gateways, object)
	case *gwapiv1.ListenerSet:
		resources.ListenerSets = append(resources.ListenerSets, object)
	case *gwapiv1.HTTPRoute:
		resources.HTTPRoutes = append(resources.HTTPRoutes, object)
	case *gwapiv1.GRPCRoute:
		resources.GRPCRoutes = append(resources.GRPCRoutes, object)
	case *gwapiv1.TCPRoute:
		resources.TCPRoutes = append(resources.TCPRoutes, object)
	case *gwapiv1.TLSRoute:
		resources.TLSRoutes = append(resources.TLSRoutes, object)
	case *gwapiv1.UDPRoute:
		resources.UDPRoutes = append(resources.UDPRoutes, object)
	case *corev1.Service:
		resources.Services = append(resources.Services, object)
	case *egv1a1.EnvoyExtensionPolicy:
		resources.EnvoyExtensionPolicies = append(resources.EnvoyExtensionPolicies, object)
	default:
		return fmt.Errorf("no use for a %s", object.GetObjectKind().GroupVersionKind().Kind)
	}
	return nil
}
