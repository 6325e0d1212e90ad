// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"fmt"
	"maps"
	"math"
	"slices"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apivalidation "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"k8s.io/apiserver/pkg/cel/environment"
)

// The API server refuses a CRD whose rules may cost more than this, in its own
// units.
const (
	RuleCostLimit = apivalidation.StaticEstimatedCostLimit
	CRDCostLimit  = apivalidation.StaticEstimatedCRDCostLimit
)

// Cost is the API server's estimate of what a rule may cost at most for one
// object: of one call, times how often the place may occur.
type Cost struct {
	Path    string
	Message string
	Cost    uint64
}

// Costs estimates every rule of the schema.
func (s *Schema) Costs() ([]Cost, error) {
	return ruleCosts(s.internal, "", apivalidation.RootCELContext(s.internal))
}

func ruleCosts(props *apiextensions.JSONSchemaProps, path string, at *apivalidation.CELSchemaContext) ([]Cost, error) {
	costs, err := ownCosts(props, path, at)
	if err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(props.Properties)) {
		child := props.Properties[name]
		below, err := ruleCosts(&child, path+"."+name, at.ChildPropertyContext(&child, name))
		if err != nil {
			return nil, err
		}
		costs = append(costs, below...)
	}
	if props.Items != nil && props.Items.Schema != nil {
		below, err := ruleCosts(props.Items.Schema, path+"[]", at.ChildItemsContext(props.Items.Schema))
		if err != nil {
			return nil, err
		}
		costs = append(costs, below...)
	}
	return costs, nil
}

func ownCosts(props *apiextensions.JSONSchemaProps, path string, at *apivalidation.CELSchemaContext) ([]Cost, error) {
	if len(props.XValidations) == 0 {
		return nil, nil
	}
	info, err := at.TypeInfo()
	if err != nil {
		return nil, fmt.Errorf("type of %s: %w", path, err)
	}
	compiled, err := cel.Compile(info.Schema, info.DeclType, celconfig.PerCallLimit,
		environment.MustBaseEnvSet(environment.DefaultCompatibilityVersion()), cel.NewExpressionsEnvLoader())
	if err != nil {
		return nil, fmt.Errorf("compile rules of %s: %w", path, err)
	}
	costs := make([]Cost, len(compiled))
	for i, result := range compiled {
		if result.Error != nil {
			return nil, fmt.Errorf("compile rule %d of %s: %w", i, path, result.Error)
		}
		times := result.MaxCardinality
		if at.MaxCardinality != nil {
			times = *at.MaxCardinality
		}
		total := uint64(math.MaxUint64)
		if result.MaxCost == 0 || times <= total/result.MaxCost {
			total = result.MaxCost * times
		}
		costs[i] = Cost{Path: path, Message: props.XValidations[i].Message, Cost: total}
	}
	return costs, nil
}
