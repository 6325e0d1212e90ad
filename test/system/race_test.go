// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build race

package system

// raceEnabled says that the processes under test are built with the race
// detector as well.
const raceEnabled = true
