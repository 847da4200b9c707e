/**
 * What an installation asked of the API server in the tests before; later ones kill it, and a new one refuses everybody
 * at first.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { accountOf, callName, callsOf, countCalls } from '../lib/audit.ts'
import { notOurs } from '../lib/faults.ts'
import { figure } from '../lib/figures.ts'
import { RELEASE, SYSTEM } from '../lib/headgate.ts'
import { kubectl } from '../lib/kubernetes.ts'

/**
 * Granted for what this version does not do yet, or for what the tests before do not bring about; everything else that
 * is granted is used. Where something of this list is asked for, the test fails and the line goes.
 */
const NOT_ASKED_FOR: readonly string[] = [
  // Labels of namespaces count only where somebody selects by them.
  'list namespaces',
  'watch namespaces',
]

/** Asked for when somebody else has written the same object in between. */
const BY_CHANCE: readonly string[] = ['routes', 'backends', 'ingresses'].flatMap((kind) => [
  `get ${kind}.headgate.dev`,
  `get ${kind}.networking.k8s.io`,
])

interface Rule {
  readonly apiGroups: readonly string[]
  readonly resources: readonly string[]
  readonly verbs: readonly string[]
}

describe('the permissions of the installation', { skip: notOurs }, () => {
  it('suffice for every call of all earlier tests', () => {
    const calls = callsOf(accountOf())
    assert.ok(calls.length > 10, 'it asked for something')
    figure('calls to the API server in the tests so far', calls.length)
    const refused = calls.filter(({ annotations }) => annotations?.['authorization.k8s.io/decision'] === 'forbid')
    assert.deepEqual([...new Set(refused.map(callName))], [])
  })

  it('are all used', async () => {
    const granted = new Set<string>()
    for (const [kind, namespace] of [
      ['clusterrole', undefined],
      ['role', SYSTEM],
    ] as const) {
      const layout = namespace === undefined ? [] : ['-n', namespace]
      const label = ['-l', `app.kubernetes.io/instance=${RELEASE}`]
      const { items } = JSON.parse(await kubectl('get', kind, ...layout, ...label, '-o', 'json')) as {
        items: { metadata: { name: string; labels?: Record<string, string> }; rules: Rule[] }[]
      }
      for (const { metadata, rules } of items) {
        // For people, not for the installation.
        if (Object.keys(metadata.labels ?? {}).some((name) => name.includes('aggregate-to-'))) continue
        for (const { apiGroups, resources, verbs } of rules)
          for (const group of apiGroups)
            for (const resource of resources) for (const verb of verbs) granted.add(nameOf(verb, resource, group))
      }
    }
    const asked = new Set(Object.keys(countCalls(callsOf(accountOf()))))
    const unused = [...granted].filter((name) => !asked.has(name) && !BY_CHANCE.includes(name))
    figure('rights granted, used in the tests so far', `${granted.size}, ${granted.size - unused.length}`)
    assert.deepEqual(unused.sort(), [...NOT_ASKED_FOR].sort())
    assert.deepEqual(
      [...asked].filter((name) => !granted.has(name)),
      [],
      'nothing by other roles',
    )
  })
})

function nameOf(verb: string, resource: string, apiGroup: string): string {
  const [name = '', sub] = resource.split('/')
  return callName({ verb, objectRef: { resource: name, apiGroup, ...(sub !== undefined && { subresource: sub }) } })
}
