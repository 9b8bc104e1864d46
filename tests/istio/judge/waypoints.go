package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	gateway "sigs.k8s.io/gateway-api/apis/v1"

	api "istio.io/api/extensions/v1alpha1"
	"istio.io/api/label"
	networking "istio.io/client-go/pkg/apis/networking/v1"
	"istio.io/istio/pilot/pkg/model"
	"istio.io/istio/pilot/pkg/serviceregistry/ambient"
	"istio.io/istio/pkg/activenotifier"
	"istio.io/istio/pkg/cluster"
	"istio.io/istio/pkg/config"
	"istio.io/istio/pkg/config/host"
	"istio.io/istio/pkg/config/mesh/meshwatcher"
	"istio.io/istio/pkg/config/schema/gvk"
	"istio.io/istio/pkg/config/schema/gvr"
	"istio.io/istio/pkg/kube"
	"istio.io/istio/pkg/kube/kclient/clienttest"
	"istio.io/istio/pkg/kube/krt"
	"istio.io/istio/pkg/kube/multicluster"
	"istio.io/istio/pkg/test"
	"istio.io/istio/pkg/test/util/retry"
)

const (
	rootNamespace = "istio-system"
	clusterDomain = "cluster.local"
	clusterName   = cluster.ID("cluster")
)

// What plugins can be attached to at waypoints.
type serviceName struct {
	kind, namespace, name string
}

// As `tidegate chain` writes it.
func (s serviceName) String() string {
	return fmt.Sprintf("%s/%s in %s", s.kind, s.name, s.namespace)
}

// All that plugins are attached to, and in each namespace one thing that none is attached to.
func servicesIn(plugins []config.Config, workloads []workload) []serviceName {
	services := map[serviceName]bool{}
	for _, workload := range workloads {
		services[serviceName{"Service", workload.Namespace, otherService}] = true
	}
	for _, plugin := range plugins {
		services[serviceName{"Service", plugin.Namespace, otherService}] = true
		policy, isPolicy := plugin.Spec.(model.TargetablePolicy)
		if extension, isExtension := plugin.Spec.(*api.TrafficExtension); isExtension {
			policy, isPolicy = &model.TrafficExtensionWrapper{TrafficExtension: extension}, true
		}
		if !isPolicy {
			continue
		}
		for _, target := range model.GetTargetRefs(policy) {
			if target.Kind == "Service" || target.Kind == "ServiceEntry" {
				services[serviceName{target.Kind, plugin.Namespace, target.Name}] = true
			}
		}
	}
	return slices.SortedFunc(maps.Keys(services), func(one, other serviceName) int {
		return strings.Compare(one.String(), other.String())
	})
}

// By which istiod knows a service: what a ServiceEntry says first, or what follows from the name.
func hostnameOf(service serviceName, objects []*unstructured.Unstructured) string {
	if service.kind == "Service" {
		return hostnameIn(service.namespace, service.name)
	}
	for _, object := range objects {
		if is(object, gvk.ServiceEntry) && nameOf(object) == service {
			hosts, _, _ := unstructured.NestedStringSlice(object.Object, "spec", "hosts")
			if len(hosts) > 0 {
				return hosts[0]
			}
		}
	}
	return fmt.Sprintf("%s.%s.example.com", service.name, service.namespace)
}

func hostnameIn(namespace, name string) string {
	return fmt.Sprintf("%s.%s.svc.%s", name, namespace, clusterDomain)
}

// istiod knows a waypoint by the service before its pods.
func targetsOf(waypoint workload) []model.ServiceTarget {
	hostname := hostnameIn(waypoint.Namespace, gatewayOf(waypoint))
	return []model.ServiceTarget{{Service: &model.Service{Hostname: host.Name(hostname)}}}
}

func gatewayOf(waypoint workload) string {
	return waypoint.Labels[label.IoK8sNetworkingGatewayGatewayName.Name]
}

// istiod's own indexes of which waypoint a service uses, by the hostname of the waypoint that is asked about: what the documents leave
// open differs.
type waypoints struct {
	model.NoopAmbientIndexes
	indexes map[string]ambient.Index
}

func (w waypoints) ServicesForWaypoint(key model.WaypointKey) []model.ServiceInfo {
	for _, hostname := range key.Hostnames {
		if index, known := w.indexes[hostname]; known {
			return index.ServicesForWaypoint(key)
		}
	}
	return nil
}

// The services that a waypoint handles, of those that plugins tell apart.
func (m *mesh) handledBy(waypoint workload) []string {
	handled := []string{}
	for _, info := range m.waypoints.ServicesForWaypoint(model.WaypointKeyForProxy(proxyOf(waypoint))) {
		called := serviceName{info.Source.Kind.String(), info.Source.Namespace, info.Source.Name}.String()
		if m.services[called] != nil {
			handled = append(handled, called)
		}
	}
	slices.Sort(handled)
	return slices.Compact(handled)
}

// istiod's index over a cluster that has the documents.
func newIndex(t test.Failer, objects []*unstructured.Unstructured, asked workload, services []serviceName) (ambient.Index, error) {
	var inCluster []runtime.Object
	for _, object := range clusterOf(objects, asked, services) {
		typed, err := typed(object)
		if err != nil {
			return nil, err
		}
		inCluster = append(inCluster, typed)
	}
	client := kube.NewFakeClient(inCluster...)
	for _, resource := range []schema.GroupVersionResource{gvr.AuthorizationPolicy, gvr.PeerAuthentication, gvr.KubernetesGateway, gvr.GatewayClass, gvr.WorkloadEntry, gvr.ServiceEntry} {
		clienttest.MakeCRD(t, client, resource)
	}
	settings := meshwatcher.NewTestWatcher(nil)
	clusters := multicluster.NewController(multicluster.ControllerOptions{
		Client:          client,
		ClusterID:       clusterName,
		SystemNamespace: rootNamespace,
		MeshConfig:      settings,
		Debugger:        krt.GlobalDebugHandler,
	})
	index := ambient.New(ambient.Options{
		SystemNamespace:        rootNamespace,
		DomainSuffix:           clusterDomain,
		ClusterID:              clusterName,
		XDSUpdater:             model.NewEndpointIndexUpdater(model.NewEndpointIndex(model.DisabledCache{})),
		MeshConfig:             settings,
		StatusNotifier:         activenotifier.New(false),
		Debugger:               krt.GlobalDebugHandler,
		MultiClusterController: clusters,
	})
	stop := test.NewStop(t)
	if err := clusters.Run(stop); err != nil {
		return nil, err
	}
	go index.Run(stop)
	client.RunAndWait(stop)
	retry.UntilOrFail(t, index.HasSynced, retry.Delay(time.Millisecond))
	return index, nil
}

// The documents that are about waypoints, as they are in a cluster, and what they leave open, as tidegate assumes it: a service uses
// the waypoint that is asked about if that is in its namespace, and a Gateway that is missing allows all.
func clusterOf(objects []*unstructured.Unstructured, asked workload, services []serviceName) []*unstructured.Unstructured {
	var all []*unstructured.Unstructured
	known := map[serviceName]*unstructured.Unstructured{}
	add := func(object *unstructured.Unstructured) {
		switch {
		case is(object, gvk.Namespace):
			// As the API server does.
			withLabel(object, corev1.LabelMetadataName, object.GetName())
		case is(object, gvk.KubernetesGateway):
			// As istiod does once a pod is ready.
			address := map[string]any{"type": "Hostname", "value": hostnameIn(nameOf(object).namespace, object.GetName())}
			_ = unstructured.SetNestedSlice(object.Object, []any{address}, "status", "addresses")
		}
		if !is(object, gvk.Namespace) && !is(object, gvk.GatewayClass) {
			object.SetNamespace(nameOf(object).namespace)
		}
		known[nameOf(object)] = object
		all = append(all, object)
	}
	for _, object := range objects {
		if is(object, gvk.Namespace) || is(object, gvk.Service) || is(object, gvk.ServiceEntry) || is(object, gvk.KubernetesGateway) || is(object, gvk.GatewayClass) {
			add(object.DeepCopy())
		}
	}
	missing := func(kind config.GroupVersionKind, namespace, name string, spec map[string]any) *unstructured.Unstructured {
		object := &unstructured.Unstructured{Object: map[string]any{"spec": spec}}
		object.SetGroupVersionKind(kind.Kubernetes())
		object.SetName(name)
		object.SetNamespace(namespace)
		return object
	}
	assumed := func(object *unstructured.Unstructured, namespace string) *unstructured.Unstructured {
		if namespace == asked.Namespace {
			withLabel(object, label.IoIstioUseWaypoint.Name, gatewayOf(asked))
		}
		return object
	}
	for _, service := range slices.Concat(services, []serviceName{{namespace: asked.Namespace}}) {
		if known[serviceName{"Namespace", "", service.namespace}] == nil {
			add(assumed(missing(gvk.Namespace, "", service.namespace, map[string]any{}), service.namespace))
		}
	}
	for _, service := range services {
		if known[service] != nil {
			continue
		}
		object := missing(gvk.Service, service.namespace, service.name, map[string]any{})
		if service.kind == "ServiceEntry" {
			object = missing(gvk.ServiceEntry, service.namespace, service.name, map[string]any{"hosts": []any{hostnameOf(service, objects)}})
		}
		namespace := known[serviceName{"Namespace", "", service.namespace}]
		if _, says := namespace.GetLabels()[label.IoIstioUseWaypoint.Name]; !says {
			assumed(object, service.namespace)
		}
		add(object)
	}
	if known[serviceName{"Gateway", asked.Namespace, gatewayOf(asked)}] == nil {
		listener := map[string]any{
			"name": "mesh", "protocol": "HBONE", "port": int64(15008),
			"allowedRoutes": map[string]any{"namespaces": map[string]any{"from": "All"}},
		}
		add(missing(gvk.KubernetesGateway, asked.Namespace, gatewayOf(asked), map[string]any{
			"gatewayClassName": "istio-waypoint", "listeners": []any{listener},
		}))
	}
	return all
}

func is(object *unstructured.Unstructured, kind config.GroupVersionKind) bool {
	return object.GroupVersionKind().GroupKind() == kind.Kubernetes().GroupKind()
}

// Kind, namespace and name; namespaces and classes are in no namespace.
func nameOf(object *unstructured.Unstructured) serviceName {
	namespace := object.GetNamespace()
	switch {
	case is(object, gvk.Namespace), is(object, gvk.GatewayClass):
		namespace = ""
	case namespace == "":
		namespace = defaultNamespace
	}
	return serviceName{object.GetKind(), namespace, object.GetName()}
}

func withLabel(object *unstructured.Unstructured, key, value string) {
	labels := object.GetLabels()
	if labels == nil {
		labels = map[string]string{}
	}
	labels[key] = value
	object.SetLabels(labels)
}

// An object as the type that istiod's informers have, whatever version it was written in.
func typed(object *unstructured.Unstructured) (runtime.Object, error) {
	var made runtime.Object
	switch {
	case is(object, gvk.Namespace):
		made = &corev1.Namespace{}
	case is(object, gvk.Service):
		made = &corev1.Service{}
	case is(object, gvk.ServiceEntry):
		made = &networking.ServiceEntry{}
	case is(object, gvk.KubernetesGateway):
		made = &gateway.Gateway{}
	case is(object, gvk.GatewayClass):
		made = &gateway.GatewayClass{}
	default:
		return nil, fmt.Errorf("a %s tells nothing of waypoints", object.GetKind())
	}
	raw, err := json.Marshal(object.Object)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(raw, made); err != nil {
		return nil, fmt.Errorf("failed to read %s %s: %w", object.GetKind(), object.GetName(), err)
	}
	made.GetObjectKind().SetGroupVersionKind(schema.GroupVersionKind{})
	return made, nil
}
