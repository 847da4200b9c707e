import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { apiVersionOf, KIND_NAMES, KINDS } from '../../../src/api/kinds.ts'
import { readManifests } from '../../../src/source/folder/manifest.ts'

const read = (apiVersion: string, kind: string) => readManifests({ apiVersion, kind, metadata: { name: 'x' } })
const verdict = (apiVersion: string, kind: string): string => {
  const { manifests, problems } = read(apiVersion, kind)
  return manifests.length > 0 ? 'read' : `${problems[0]?.severity}: ${problems[0]?.message}`
}

describe('the kind and version of an object', () => {
  it('is an error with a remedy when the object can only be intended for Headgate', () => {
    for (const [apiVersion, kind, write] of [
      ['extensions/v1beta1', 'Ingress', '`apiVersion: networking.k8s.io/v1`'],
      ['networking.k8s.io/v1beta1', 'Ingress', '`apiVersion: networking.k8s.io/v1`'],
      ['networking.k8s.io/v2', 'Ingress', '`apiVersion: networking.k8s.io/v1`'],
      ['v1', 'Ingress', '`apiVersion: networking.k8s.io/v1`'],
      ['headgate.dev/v1beta1', 'Route', '`apiVersion: headgate.dev/v1alpha1`'],
      ['headgate.dev/v1', 'Backend', '`apiVersion: headgate.dev/v1alpha1`'],
      ['headgate.io/v1alpha1', 'Route', '`apiVersion: headgate.dev/v1alpha1`'],
      ['v1alpha1', 'Route', '`apiVersion: headgate.dev/v1alpha1`'],
      ['discovery.k8s.io/v1beta1', 'EndpointSlice', '`apiVersion: discovery.k8s.io/v1`'],
      ['v1', 'EndpointSlice', '`apiVersion: discovery.k8s.io/v1`'],
      ['apps/v1', 'Service', '`apiVersion: v1`'],
      ['v1beta3', 'Service', '`apiVersion: v1`'],
      ['core/v1', 'Secret', '`apiVersion: v1`'],
      ['v2', 'Namespace', '`apiVersion: v1`'],
      ['headgate.dev/v1alpha1', 'route', '`kind: Route`'],
      ['headgate.dev/v1alpha1', 'Routes', '`kind: Route`'],
      ['headgate.dev/v1beta1', 'Backends', '`apiVersion: headgate.dev/v1alpha1` and `kind: Backend`'],
      ['headgate.dev/v1alpha1', 'Ingress', '`apiVersion: networking.k8s.io/v1`'],
    ] as const) {
      const said = verdict(apiVersion, kind)
      assert.ok(said.startsWith('error: ') && said.includes(`write ${write}`), `${kind} ${apiVersion}: ${said}`)
      assert.deepEqual(read(apiVersion, kind).problems[0]?.object, { kind, key: 'default/x' })
    }
    assert.match(
      verdict('extensions/v1beta1', 'Ingress'),
      /`service: \{ name, port: \{ number \} \}` for `serviceName`/,
    )
  })

  it('is reported alike in a List of an old version', () => {
    const { problems } = readManifests({
      apiVersion: 'extensions/v1beta1',
      kind: 'IngressList',
      items: [{ metadata: { name: 'a' } }, { metadata: { name: 'b' } }],
    })
    assert.deepEqual(
      problems.map(({ severity, object }) => `${severity} ${object?.key}`),
      ['error default/a', 'error default/b'],
    )
  })

  it('is ignored with a warning when it belongs to another project, also with the same name', () => {
    for (const [apiVersion, kind] of [
      ['route.openshift.io/v1', 'Route'],
      ['serving.knative.dev/v1', 'Route'],
      ['serving.knative.dev/v1', 'Service'],
      ['networking.internal.knative.dev/v1alpha1', 'Ingress'],
      ['config.openshift.io/v1', 'Ingress'],
      ['gateway.envoyproxy.io/v1alpha1', 'Backend'],
      ['apps/v1', 'Deployment'],
      ['headgate.dev/v1alpha1', 'Policy'],
    ] as const)
      assert.match(verdict(apiVersion, kind), /^warning: .* is not a kind that Headgate reads/, `${kind} ${apiVersion}`)
    assert.match(verdict('route.openshift.io/v1', 'Route'), /Headgate's Route is `apiVersion: headgate\.dev\/v1alpha1`/)
  })

  it('is read when it is correct', () => {
    for (const kind of KIND_NAMES) assert.equal(verdict(apiVersionOf(KINDS[kind]), kind), 'read')
  })
})
