// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/cli-runtime/pkg/printers"
	"k8s.io/cli-runtime/pkg/resource"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
)

const injectLong = `Put the sidecar of a CallbackProxy into manifests, as the operator's
MutatingAdmissionPolicy puts it into pods: for API servers without that API, and
for those who want to see what they run.

Pods, and the pod templates of Deployments, StatefulSets, DaemonSets,
ReplicaSets, ReplicationControllers, Jobs, CronJobs and PodTemplates, get the
sidecar of the CallbackProxy that their label callbackproxy.io/inject names;
with --proxy all of them get that one's, and the label. Everything else passes
unchanged. A sidecar that is there already is replaced, so a second run changes
nothing unless the CallbackProxy or the image did; what was edited in it by hand
is lost.

The CallbackProxy is read from the cluster, in the object's own namespace, or
from --proxy-file, without a cluster.

The output is the same objects. Comments are lost, and fields are sorted.`

const injectExample = `  # Label the pod template, then inject and apply
  kubectl callback inject -f deployment.yaml | kubectl apply -f -

  # In a repository, without a cluster
  kubectl callback inject -f deploy/ -R -n identity --proxy-file callbackproxy.yaml > deploy.yaml`

// proxyGetter finds CallbackProxies. Its errors contain the remedy.
type proxyGetter interface {
	Get(ctx context.Context, namespace, name string) (*callbackv1alpha1.CallbackProxy, error)
}

// injectOptions are what inject needs; Complete sets those in the second part.
type injectOptions struct {
	genericiooptions.IOStreams
	config    *genericclioptions.ConfigFlags
	print     *genericclioptions.JSONYamlPrintFlags
	files     resource.FilenameOptions
	proxy     string
	proxyFile string
	image     string
	output    string

	proxies   proxyGetter
	namespace string // of objects that name none; empty: they must
	printer   printers.ResourcePrinter
}

func newInject(streams genericiooptions.IOStreams) *cobra.Command {
	o := &injectOptions{
		IOStreams: streams, config: genericclioptions.NewConfigFlags(true), print: genericclioptions.NewJSONYamlPrintFlags(), output: "yaml",
	}
	c := &cobra.Command{
		Use:     "inject -f FILE|DIR|- [-R] [--proxy NAME] [--proxy-file FILE] [--image IMAGE]",
		Short:   "Put a callback proxy in front of the application of pods, as a native sidecar",
		Long:    injectLong,
		Example: injectExample,
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := o.Complete(); err != nil {
				return err
			}
			return o.Run(c.Context())
		},
	}
	flags := c.Flags()
	flags.StringSliceVarP(&o.files.Filenames, "filename", "f", nil, "file, directory or URL with manifests; - is the standard input")
	flags.BoolVarP(&o.files.Recursive, "recursive", "R", false, "look for files in the directories below as well")
	flags.StringVar(&o.proxy, "proxy", "", "name of the CallbackProxy for all pods; without it, their labels name theirs")
	flags.StringVar(&o.proxyFile, "proxy-file", "", "file with CallbackProxies, instead of the cluster")
	flags.StringVar(&o.image, "image", defaultImage(), "image of the sidecar")
	flags.StringVarP(&o.output, "output", "o", o.output, "yaml or json")
	o.config.AddFlags(flags)
	return c
}

// defaultImage is the proxy of this version.
func defaultImage() string { return "callback-proxy:" + version }

// Complete checks the flags and finds where CallbackProxies come from.
func (o *injectOptions) Complete() (err error) {
	if o.image == "" {
		return errors.New("--image is empty: name the image of the sidecar, such as " + defaultImage())
	}
	if len(o.files.Filenames) == 0 {
		return errors.New("nothing to inject into: name manifests with -f, or -f - for the standard input")
	}
	if o.printer, err = o.print.ToPrinter(o.output); err != nil {
		return fmt.Errorf("--output must be yaml or json, not %q", o.output)
	}
	namespace, given, err := o.config.ToRawKubeConfigLoader().Namespace()
	if o.proxyFile != "" {
		if given {
			o.namespace = namespace
		}
		o.proxies, err = readProxies(o.proxyFile)
		return err
	}
	if err != nil {
		return fmt.Errorf("read kubeconfig: %w", err)
	}
	o.namespace = namespace
	o.proxies, err = newClusterProxies(o.config)
	return err
}

// Run reads, injects and prints. The first error ends it, and nothing is
// printed then: half of a request must not be applied.
func (o *injectOptions) Run(ctx context.Context) error {
	builder, files := resource.NewLocalBuilder().Unstructured(), o.files
	files.Filenames = slices.DeleteFunc(slices.Clone(files.Filenames), func(name string) bool { return name == "-" })
	if len(files.Filenames) < len(o.files.Filenames) {
		builder = builder.Stream(o.In, "standard input")
	}
	if len(files.Filenames) > 0 {
		builder = builder.FilenameParam(false, &files)
	}
	result := builder.Do()
	if err := result.Err(); err != nil {
		return fmt.Errorf("read manifests: %w", err)
	}
	injected, printed := 0, bytes.Buffer{}
	err := result.Visit(func(info *resource.Info, err error) error {
		if err != nil {
			return fmt.Errorf("read manifests: %w", err)
		}
		object, is := info.Object.(interface{ UnstructuredContent() map[string]any })
		if !is {
			return fmt.Errorf("read %s: unexpected %T", info.Source, info.Object)
		}
		content := object.UnstructuredContent()
		n, err := o.injectInto(ctx, content)
		if err != nil {
			return err
		}
		injected += n
		return o.printer.PrintObj(&unstructured.Unstructured{Object: content}, &printed)
	})
	if err != nil {
		return err
	}
	_, err = printed.WriteTo(o.Out)
	if err == nil && injected == 0 {
		_, err = fmt.Fprintln(o.ErrOut,
			"warning: nothing was injected: label the pod template callbackproxy.io/inject=NAME, or name the CallbackProxy with --proxy")
	}
	return err
}

// injectInto changes one object, or the items of a list, and returns how many
// pods and pod templates got a sidecar.
func (o *injectOptions) injectInto(ctx context.Context, object map[string]any) (int, error) {
	if items, is := object["items"].([]any); is {
		injected := 0
		for i := range items {
			item, is := items[i].(map[string]any)
			if !is {
				continue
			}
			n, err := o.injectInto(ctx, item)
			if err != nil {
				return 0, err
			}
			injected += n
		}
		return injected, nil
	}
	pod := podOf(object)
	if pod == nil {
		return 0, nil
	}
	what := describe(object)
	name, err := pod.proxyName(o.proxy)
	if name == "" || err != nil {
		return 0, wrap(what, err)
	}
	namespace, _, _ := unstructured.NestedString(object, "metadata", "namespace")
	if namespace == "" {
		namespace = o.namespace
	}
	proxy, err := o.proxies.Get(ctx, namespace, name)
	if err != nil {
		return 0, wrap(what, err)
	}
	return 1, wrap(what, pod.inject(proxy, o.image))
}

func wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("inject into %s: %w", what, err)
}
