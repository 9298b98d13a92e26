package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Labels on the objects that belong to a Function.
const (
	// LabelFunctionName has the Function's name.
	LabelFunctionName = "serverless.kyma-project.io/function-name"
	// LabelManagedBy has the name of the controller that wrote the object.
	LabelManagedBy = "serverless.kyma-project.io/managed-by"
	// LabelUUID has the Function's metadata.uid.
	LabelUUID = "serverless.kyma-project.io/uuid"
)

// Types of the conditions of a Function, in the order in which they become true.
const (
	// ConditionConfigurationReady: source and dependencies are taken over.
	ConditionConfigurationReady = "ConfigurationReady"
	// ConditionBuildReady: the source is built (or, where it is interpreted, compiles).
	ConditionBuildReady = "BuildReady"
	// ConditionRunning: the function answers at http://<name>.<namespace>.svc.cluster.local/.
	ConditionRunning = "Running"
)

// Reasons of the conditions of a Function. Kyma's own words, the ones that a runtime in this process can have.
const (
	// ReasonConfigMapCreated: the source was taken for the first time. With ConditionConfigurationReady.
	ReasonConfigMapCreated = "ConfigMapCreated"
	// ReasonConfigMapUpdated: a change of the source was taken. With ConditionConfigurationReady.
	ReasonConfigMapUpdated = "ConfigMapUpdated"
	// ReasonConfigMapError: the source could not be taken. With ConditionConfigurationReady False.
	ReasonConfigMapError = "ConfigMapError"
	// ReasonSourceUpdated: the source was fetched. With ConditionConfigurationReady.
	ReasonSourceUpdated = "SourceUpdated"
	// ReasonSourceUpdateFailed: the source could not be fetched. With ConditionConfigurationReady False.
	ReasonSourceUpdateFailed = "SourceUpdateFailed"

	// ReasonJobCreated: the build was asked for. With ConditionBuildReady Unknown.
	ReasonJobCreated = "JobCreated"
	// ReasonJobRunning: the build runs. With ConditionBuildReady Unknown.
	ReasonJobRunning = "JobRunning"
	// ReasonJobFinished: the build is done. With ConditionBuildReady True.
	ReasonJobFinished = "JobFinished"
	// ReasonJobFailed: the source does not build; the message has the error. With ConditionBuildReady False.
	ReasonJobFailed = "JobFailed"

	// ReasonServiceCreated: the function's Service was written. With ConditionRunning Unknown.
	ReasonServiceCreated = "ServiceCreated"
	// ReasonServiceFailed: the Service could not be written. With ConditionRunning False.
	ReasonServiceFailed = "ServiceFailed"
	// ReasonDeploymentWaiting: the function is being started. With ConditionRunning Unknown.
	ReasonDeploymentWaiting = "DeploymentWaiting"
	// ReasonDeploymentReady: the function answers. With ConditionRunning True.
	ReasonDeploymentReady = "DeploymentReady"
	// ReasonDeploymentFailed: the function did not start; the message has the error. With ConditionRunning False.
	ReasonDeploymentFailed = "DeploymentFailed"
)

// Values of FunctionSpec.Runtime that Kyma's serverless knows. An empty one means RuntimeNodeJS12.
const (
	// RuntimeNodeJS12 is JavaScript as Node.js 12 runs it.
	RuntimeNodeJS12 = "nodejs12"
	// RuntimeNodeJS10 is JavaScript as Node.js 10 runs it.
	RuntimeNodeJS10 = "nodejs10"
	// RuntimePython38 is Python 3.8.
	RuntimePython38 = "python38"
)

// TypeGit in FunctionSpec.Type says that Source names a Git repository instead of being the source.
const TypeGit = "git"

// Function is code that is called with events, the Console's lambda. A Service carries its name, so it must be a DNS label
// that starts with a letter.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=functions,singular=function
// +kubebuilder:printcolumn:name="Configured",type=string,JSONPath=`.status.conditions[?(@.type=="ConfigurationReady")].status`
// +kubebuilder:printcolumn:name="Built",type=string,JSONPath=`.status.conditions[?(@.type=="BuildReady")].status`
// +kubebuilder:printcolumn:name="Running",type=string,JSONPath=`.status.conditions[?(@.type=="Running")].status`
// +kubebuilder:printcolumn:name="Runtime",type=string,JSONPath=`.spec.runtime`
// +kubebuilder:printcolumn:name="Version",type=integer,JSONPath=`.metadata.generation`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="self.metadata.name.size() <= 63 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",message="the name of a Function must be at most 63 lower-case letters, digits and '-', start with a letter and not end with '-': a Service carries it"
type Function struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec is the code and how to run it.
	Spec FunctionSpec `json:"spec"`
	// Status says whether it runs.
	// +optional
	Status FunctionStatus `json:"status,omitzero"`
}

// FunctionSpec is the code of a Function and how to run it.
//
// +kubebuilder:validation:XValidation:rule="!has(self.minReplicas) || !has(self.maxReplicas) || self.minReplicas <= self.maxReplicas",message="minReplicas must not be greater than maxReplicas"
type FunctionSpec struct {
	// Source is the code or, when Type is [TypeGit], the name of the repository that has it.
	// +kubebuilder:validation:MinLength=1
	Source string `json:"source"`
	// Deps is what the code depends on, in the runtime's own form: a package.json, or a requirements.txt.
	// +optional
	Deps string `json:"deps,omitempty"`
	// Env is the environment of the code.
	// +optional
	// +listType=map
	// +listMapKey=name
	Env []corev1.EnvVar `json:"env,omitempty"`
	// Resources is what a running function may use.
	// +optional
	Resources corev1.ResourceRequirements `json:"resources,omitzero"`
	// BuildResources is what the build may use.
	// +optional
	BuildResources corev1.ResourceRequirements `json:"buildResources,omitzero"`
	// MinReplicas is how many copies run at least, nil for the runtime's default.
	// +optional
	// +kubebuilder:validation:Minimum=1
	MinReplicas *int32 `json:"minReplicas,omitempty"`
	// MaxReplicas is how many copies run at most, nil for the runtime's default.
	// +optional
	// +kubebuilder:validation:Minimum=1
	MaxReplicas *int32 `json:"maxReplicas,omitempty"`
	// Runtime is the language, "" for the default; see [RuntimeNodeJS12] and the constants beside it.
	// +optional
	// +kubebuilder:validation:Enum=nodejs12;nodejs10;python38
	Runtime string `json:"runtime,omitempty"`
	// Labels go on what runs the function.
	// +optional
	Labels map[string]string `json:"labels,omitempty"`
	// Type says what Source is: "" the code, [TypeGit] a repository.
	// +optional
	// +kubebuilder:validation:Enum="";git
	Type string `json:"type,omitempty"`
	// BaseDir is the folder of the code in the repository.
	// +optional
	BaseDir string `json:"baseDir,omitempty"`
	// Reference is the branch, tag or commit of the repository.
	// +optional
	Reference string `json:"reference,omitempty"`
}

// FunctionStatus says whether a Function runs, and which code.
type FunctionStatus struct {
	// Conditions are one for each step; see [ConditionRunning] and the constants beside it.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// ObservedGeneration is the metadata.generation that the status is about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// BaseDir is spec.baseDir as it runs.
	// +optional
	BaseDir string `json:"baseDir,omitempty"`
	// Reference is spec.reference as it runs.
	// +optional
	Reference string `json:"reference,omitempty"`
	// Commit is the commit that Reference stood for.
	// +optional
	Commit string `json:"commit,omitempty"`
	// Source is spec.source as it runs.
	// +optional
	Source string `json:"source,omitempty"`
	// Runtime is the runtime that runs it.
	// +optional
	Runtime string `json:"runtime,omitempty"`
}

// FunctionList is a list of Functions.
//
// +kubebuilder:object:root=true
type FunctionList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Function `json:"items"`
}
