package main

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	meshconfig "istio.io/api/mesh/v1alpha1"
	"istio.io/istio/pilot/pkg/config/kube/crd"
	"istio.io/istio/pilot/pkg/config/kube/extensions"
	"istio.io/istio/pilot/pkg/model"
	"istio.io/istio/pilot/pkg/networking/core"
	"istio.io/istio/pilot/pkg/serviceregistry/ambient"
	"istio.io/istio/pilot/pkg/serviceregistry/provider"
	"istio.io/istio/pkg/config"
	"istio.io/istio/pkg/config/host"
	meshdefaults "istio.io/istio/pkg/config/mesh"
	"istio.io/istio/pkg/config/protocol"
	"istio.io/istio/pkg/config/schema/gvk"
	"istio.io/istio/pkg/kube/krt"
	"istio.io/istio/pkg/test"
)

// All filters of a listener by name, plugins by kind, namespace and name.
type filters struct {
	place
	Filters []string `json:"filters"`
}

// istiod with some plugins, and with what makes it use every filter that it has.
type mesh struct {
	made *core.ConfigGenTest
	// By kind, name and namespace.
	services  map[string]*model.Service
	waypoints waypoints
}

const (
	// Ports that no match names.
	httpPort = 9999
	tcpPort  = 9998
	// A service that no plugin is attached to.
	otherService = "attached-to-nothing"
	// Every proxy's, and that of the service which it stands beside.
	proxyAddress   = "10.9.8.7"
	serviceAddress = "240.0.0.1"
)

// What there is in a namespace: a service for sidecars, and what a gateway lets through to it.
const inNamespace = `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: own, namespace: NAMESPACE}
spec:
  hosts: [own.NAMESPACE.example.com]
  addresses: [240.0.0.1]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{name: http, number: 9999, protocol: HTTP}, {name: tcp, number: 9998, protocol: TCP}]
  endpoints: [{address: 10.9.8.7}]
  exportTo: [.]
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: every, namespace: NAMESPACE}
spec:
  servers:
  - {hosts: [./*], port: {name: http, number: 9999, protocol: HTTP}}
  - {hosts: [./*], port: {name: tcp, number: 9998, protocol: TCP}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: every, namespace: NAMESPACE}
spec:
  hosts: ['*']
  gateways: [every]
  http: [{route: [{destination: {host: own.NAMESPACE.example.com}}]}]
  tcp: [{match: [{port: 9998}], route: [{destination: {host: own.NAMESPACE.example.com, port: {number: 9998}}}]}]
---
`

// For the whole mesh: what puts Istio's own filters into chains. Waypoints take policies by reference alone.
const inRoot = `
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {name: metrics, namespace: istio-system}
spec: {metrics: [{providers: [{name: prometheus}]}]}
---
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: jwt, namespace: istio-system}
spec: {jwtRules: [{issuer: somebody, jwks: '{"keys": []}'}]}
---
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: jwt-waypoint, namespace: istio-system}
spec:
  targetRefs: [{group: gateway.networking.k8s.io, kind: GatewayClass, name: istio-waypoint}]
  jwtRules: [{issuer: somebody, jwks: '{"keys": []}'}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: allow, namespace: istio-system}
spec: {rules: [{from: [{source: {ipBlocks: [0.0.0.0/0]}}]}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: allow-waypoint, namespace: istio-system}
spec:
  targetRefs: [{group: gateway.networking.k8s.io, kind: GatewayClass, name: istio-waypoint}]
  rules: [{from: [{source: {ipBlocks: [0.0.0.0/0]}}]}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: ask, namespace: istio-system}
spec: {action: CUSTOM, provider: {name: ask}, rules: [{from: [{source: {ipBlocks: [0.0.0.0/0]}}]}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: ask-waypoint, namespace: istio-system}
spec:
  targetRefs: [{group: gateway.networking.k8s.io, kind: GatewayClass, name: istio-waypoint}]
  action: CUSTOM
  provider: {name: ask}
  rules: [{from: [{source: {ipBlocks: [0.0.0.0/0]}}]}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: ask, namespace: istio-system}
spec: {hosts: [ask.example.com], resolution: DNS, ports: [{name: grpc, number: 9000, protocol: GRPC}]}
`

// Istio's own, with the controller in it that makes TrafficExtensions of WasmPlugins.
func newMesh(t test.Failer, objects []*unstructured.Unstructured, plugins []config.Config, workloads []workload) (*mesh, error) {
	namespaces := map[string]bool{}
	texts := []string{inRoot}
	built := &mesh{services: map[string]*model.Service{}, waypoints: waypoints{indexes: map[string]ambient.Index{}}}
	names := servicesIn(plugins, workloads)
	var services []*model.Service
	for number, name := range names {
		service := newService(name, hostnameOf(name, objects), number)
		services = append(services, service)
		built.services[name.String()] = service
	}
	for _, workload := range workloads {
		if workload.Role == "waypoint" {
			index, err := newIndex(t, objects, workload, names)
			if err != nil {
				return nil, err
			}
			built.waypoints.indexes[hostnameIn(workload.Namespace, gatewayOf(workload))] = index
		}
		if namespaces[workload.Namespace] {
			continue
		}
		namespaces[workload.Namespace] = true
		texts = append(texts, strings.ReplaceAll(inNamespace, "NAMESPACE", workload.Namespace))
	}
	surroundings, _, err := crd.ParseInputs(strings.Join(texts, "---"))
	if err != nil {
		return nil, err
	}
	settings := meshdefaults.DefaultMeshConfig()
	settings.ExtensionProviders = append(settings.ExtensionProviders, &meshconfig.MeshConfig_ExtensionProvider{
		Name: "ask",
		Provider: &meshconfig.MeshConfig_ExtensionProvider_EnvoyExtAuthzGrpc{
			EnvoyExtAuthzGrpc: &meshconfig.MeshConfig_ExtensionProvider_EnvoyExternalAuthorizationGrpcProvider{
				Service: "ask.example.com", Port: 9000,
			},
		},
	})
	built.made = core.NewConfigGenTest(t, core.TestOptions{
		Configs:    slices.Concat(plugins, surroundings),
		Services:   services,
		MeshConfig: settings,
		CreateConfigStore: func(store model.ConfigStoreController) model.ConfigStoreController {
			return extensions.NewController(store, nil, krt.GlobalDebugHandler)
		},
		SkipRun: true,
	})
	built.made.Run()
	environment := built.made.Env()
	environment.GatewayAPIController = noGatewayAPI{}
	environment.AmbientIndexes = built.waypoints
	// Controllers work by themselves, and have seen everything when the last thing has come of it.
	deadline := time.Now().Add(30 * time.Second)
	for len(environment.List(gvk.TrafficExtension, model.NamespaceAll)) < len(plugins) || len(environment.Services()) < len(services)+len(namespaces)+1 {
		if time.Now().After(deadline) {
			return nil, errors.New("istiod's controllers have not made all TrafficExtensions and services")
		}
		time.Sleep(time.Millisecond)
	}
	built.made.PushContext().InitContext(environment, nil, nil)
	return built, nil
}

// As istiod holds it.
func newService(name serviceName, hostname string, number int) *model.Service {
	registry := provider.Kubernetes
	if name.kind == "ServiceEntry" {
		registry = provider.External
	}
	address := netip.AddrFrom4([4]byte{240, 0, 1, byte(number)})
	return &model.Service{
		Hostname:       host.Name(hostname),
		DefaultAddress: address.String(),
		Resolution:     model.ClientSideLB,
		Ports: model.PortList{
			{Name: "http", Port: httpPort, Protocol: protocol.HTTP},
			{Name: "tcp", Port: tcpPort, Protocol: protocol.TCP},
		},
		Attributes: model.ServiceAttributes{Name: name.name, Namespace: name.namespace, ServiceRegistry: registry},
	}
}

func proxyOf(workload workload) *model.Proxy {
	types := map[string]model.NodeType{"sidecar": model.SidecarProxy, "gateway": model.Router, "waypoint": model.Waypoint}
	proxy := &model.Proxy{
		Type:            types[workload.Role],
		ID:              "proxy." + workload.Namespace,
		IPAddresses:     []string{proxyAddress},
		ConfigNamespace: workload.Namespace,
		Labels:          workload.Labels,
		Metadata:        &model.NodeMetadata{Namespace: workload.Namespace, Labels: workload.Labels},
	}
	if workload.Role == "waypoint" {
		proxy.ServiceTargets = targetsOf(workload)
	}
	return proxy
}

// What Envoy would be sent for the two ports.
func (m *mesh) filtersOf(index int, workload workload) ([]filters, error) {
	proxy := proxyOf(workload)
	targets := proxy.ServiceTargets
	proxy = m.made.SetupProxy(proxy)
	if workload.Role == "waypoint" {
		// Set up, it has the service of sidecars, whose address it shares.
		proxy.ServiceTargets = targets
	}
	listeners := m.made.Listeners(proxy)
	var found []filters
	var missing error
	add := func(traffic, layer, service string, port int, listener, chain string) {
		place := place{Workload: index, Traffic: traffic, Layer: layer, Service: service, Port: port}
		all := named(listeners, listener, chain)
		for _, names := range all {
			found = append(found, filters{place, names})
		}
		if len(all) == 0 {
			missing = fmt.Errorf("the %s in %s has no listener %q with a chain %q", workload.Role, workload.Namespace, listener, chain)
		}
	}
	switch workload.Role {
	case "sidecar":
		add("inbound", "http", "", httpPort, "virtualInbound", "0.0.0.0_9999")
		add("inbound", "network", "", tcpPort, "virtualInbound", "0.0.0.0_9998")
		add("outbound", "http", "", httpPort, "0.0.0.0_9999", "")
		add("outbound", "network", "", tcpPort, serviceAddress+"_9998", "")
	case "gateway":
		add("gateway", "http", "", httpPort, "0.0.0.0_9999", "")
		add("gateway", "network", "", tcpPort, "0.0.0.0_9998", "")
	case "waypoint":
		// For workloads, of which it is not known what they listen on.
		add("waypoint", "http", "", 0, "main_internal", "direct-http")
		add("waypoint", "network", "", 0, "main_internal", "direct-tcp")
		for _, called := range m.handledBy(workload) {
			hostname := m.services[called].Hostname
			add("waypoint", "http", called, 0, "main_internal", fmt.Sprintf("inbound-vip|9999|http|%s", hostname))
			add("waypoint", "network", called, tcpPort, "main_internal", fmt.Sprintf("inbound-vip|9998|tcp|%s", hostname))
		}
	}
	return found, missing
}

// The filters of the chains of a name, once for all that are the same: with TLS and without there is one each.
func named(listeners []*listener.Listener, name, chain string) [][]string {
	var found [][]string
	for _, listener := range listeners {
		for _, one := range listener.GetFilterChains() {
			if listener.GetName() != name || one.GetName() != chain {
				continue
			}
			names := namesIn(one)
			if !slices.ContainsFunc(found, func(other []string) bool { return slices.Equal(names, other) }) {
				found = append(found, names)
			}
		}
	}
	return found
}

// Requests' filters stand behind the connection manager that has them.
func namesIn(chain *listener.FilterChain) []string {
	var names []string
	for _, filter := range chain.GetFilters() {
		names = append(names, filter.GetName())
		var manager hcm.HttpConnectionManager
		if filter.GetTypedConfig().UnmarshalTo(&manager) == nil {
			for _, filter := range manager.GetHttpFilters() {
				names = append(names, filter.GetName())
			}
		}
	}
	for index, name := range names {
		if called, isPlugin := strings.CutPrefix(name, model.TrafficExtensionResourceNamePrefix); isPlugin {
			namespace, name, _ := strings.Cut(called, ".")
			names[index] = pluginCalled(namespace, name)
		}
	}
	return names
}

// Stands where the Gateway API's controller would: the gateways here have their listeners from Istio's own Gateway.
type noGatewayAPI struct {
	model.GatewayController
}

func (noGatewayAPI) Reconcile(*model.PushContext) {}

func (noGatewayAPI) HasInferencePool(types.NamespacedName) bool { return false }
