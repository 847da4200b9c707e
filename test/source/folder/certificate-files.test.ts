import assert from 'node:assert/strict'
import { mkdir, rename, symlink } from 'node:fs/promises'
import { basename } from 'node:path'
import { describe, it } from 'node:test'
import { isDeepStrictEqual } from 'node:util'
import { stringify } from 'yaml'
import { loadManifests } from '../../../src/source/folder/load-manifests.ts'
import { systemTimers } from '../../../src/thread/system-timers.ts'
import { TestAuthority } from '../../lib/certificates.ts'
import { route } from '../../suite/source.ts'
import { eventually } from '../kubernetes/world.ts'
import { TemporaryFolder } from './temporary-folder.ts'

const authority = new TestAuthority()
const one = authority.server('one.example')
const two = authority.server('two.example')

function inFolder(run: (folder: TemporaryFolder) => Promise<void>): () => Promise<void> {
  return async () => {
    const folder = new TemporaryFolder()
    try {
      await run(folder)
    } finally {
      await folder.close()
    }
  }
}

type Named = { readonly metadata: { readonly name: string } }
type Secret = { readonly type: string; readonly data: Readonly<Record<string, string>> }

function secretsOf(folder: TemporaryFolder): Record<string, string> {
  const found: Record<string, string> = {}
  for (const [id, object] of folder.heard.objects) {
    const { type, data } = object as unknown as Secret
    if (!id.startsWith('Secret ') || type !== 'kubernetes.io/tls') continue
    const text = (key: string) => Buffer.from(data[key]!, 'base64').toString()
    const pairs = [one, two].flatMap((a, i) => [one, two].map((b, j) => [a.cert, b.key, `${i + 1}${j + 1}`] as const))
    found[id.slice('Secret '.length)] =
      pairs.find(([cert, key]) => cert === text('tls.crt') && key === text('tls.key'))?.[2] ?? 'other'
  }
  return found
}

async function untilSecretsAre(folder: TemporaryFolder, expected: Record<string, string>): Promise<void> {
  await eventually(() => isDeepStrictEqual(secretsOf(folder), expected), JSON.stringify(expected))
}

describe('certificates in a folder', () => {
  it(
    'are Secrets by the names of their files, or of the folder that holds tls.crt and tls.key',
    inFolder(async (folder) => {
      const put = async (stem: string) => {
        await folder.write(`${stem}.crt`, one.cert)
        await folder.write(`${stem}.key`, one.key)
      }
      for (const stem of ['shop', 'www.example.com', 'tls', 'mounted/tls', 'Not A Name']) await put(stem)
      for (const name of ['ca.crt', 'partners.ca.crt', 'mounted/ca.crt']) await folder.write(name, authority.ca)
      const list = authority.revoke([])
      for (const name of ['ca.crl', 'partners.crl', 'mounted/ca.crl']) await folder.write(name, list)
      await folder.write('.hidden.crt', one.cert)
      await folder.write('.hidden.key', one.key)
      await folder.watch()
      assert.deepEqual(secretsOf(folder), {
        'default/shop': '11',
        'default/www.example.com': '11',
        'default/tls': '11',
        'default/mounted': '11',
      })
      const others = [...folder.heard.objects].flatMap(([id, object]) => {
        const { type, data } = object as unknown as Secret
        return type === 'kubernetes.io/tls' ? [] : `${id} ${type} ${Object.keys(data)}`
      })
      assert.deepEqual(others.sort(), [
        'Secret default/ca headgate.dev/ca ca.crt',
        'Secret default/crl headgate.dev/crl ca.crl',
        'Secret default/mounted-ca headgate.dev/ca ca.crt',
        'Secret default/mounted-crl headgate.dev/crl ca.crl',
        'Secret default/partners-ca headgate.dev/ca ca.crt',
        'Secret default/partners-crl headgate.dev/crl ca.crl',
      ])
      assert.deepEqual(folder.heard.problemList, [])
      const loaded = await loadManifests([folder.path], systemTimers)
      assert.deepEqual(
        new Map(loaded.objects.map(({ key, raw }) => [key, raw])),
        new Map(Array.from(folder.heard.objects.values(), (raw) => [`default/${(raw as Named).metadata.name}`, raw])),
      )
    }),
  )

  it(
    'are named where the other file of a pair is missing, and are not read',
    inFolder(async (folder) => {
      await folder.write('a.crt', one.cert)
      await folder.write('b.key', one.key)
      await folder.write('ca.crt', authority.ca)
      await folder.write('ca.key', one.key)
      await folder.watch()
      const told = () => folder.heard.problemList.map(({ severity, reason, message }) => [severity, reason, message])
      const keyless =
        'a.crt is not read, since there is no a.key beside it: the two make a Secret. Add a.key, or name the file a.ca.crt if it has authorities.'
      const bare = 'b.key is not read, since there is no b.crt beside it: the two make a Secret. Add b.crt.'
      const useless = 'The private key ca.key is not read: ca.crt is a file of authorities. Remove the key.'
      const [first, second, third] = [keyless, bare, useless].map((message) => ['warning', 'Unpaired', message])
      assert.deepEqual(told(), [first, second, third])
      const loaded = await loadManifests([folder.path], systemTimers)
      assert.deepEqual(loaded.problems, folder.heard.problemList)
      await folder.write('a.key', one.key)
      await untilSecretsAre(folder, { 'default/a': '11' })
      await eventually(() => isDeepStrictEqual(told(), [second, third]), 'a is complete')
    }),
  )

  it(
    'are named in the order of their paths, however many are looked at at a time',
    inFolder(async (folder) => {
      const names = Array.from({ length: 120 }, (_, i) => `${i}.crt`)
      for (const name of names) await folder.write(name, one.cert)
      const { problems } = await loadManifests([folder.path], systemTimers)
      const files = problems.map(({ location }) => basename(location!.file))
      assert.deepEqual(files, names.toSorted())
    }),
  )

  it(
    'are of the namespace of the manifests beside or above them, where these agree',
    inFolder(async (folder) => {
      for (const stem of ['a/one', 'a/deep/mounted/tls', 'b/one', 'none/one']) {
        await folder.write(`${stem}.crt`, one.cert)
        await folder.write(`${stem}.key`, one.key)
      }
      await folder.write('a/routes.yaml', stringify(route('x')))
      await folder.write('b/x.yaml', stringify(route('x2')))
      await folder.write('b/y.yaml', stringify({ ...route('y'), metadata: { name: 'y', namespace: 'other' } }))
      await folder.watch()
      assert.deepEqual(Object.keys(secretsOf(folder)).sort(), ['default/one', 'shop/mounted', 'shop/one'])
      await folder.remove('b/y.yaml')
      await folder.remove('a/one.crt')
      await eventually(
        () => isDeepStrictEqual(Object.keys(secretsOf(folder)).sort(), ['default/one', 'shop/mounted', 'shop/one']),
        'the Secrets in their namespaces',
      )
      const { objects } = await loadManifests([folder.path], systemTimers)
      assert.deepEqual(objects.flatMap(({ kind, key }) => (kind === 'Secret' ? key : [])).sort(), [
        'default/one',
        'shop/mounted',
        'shop/one',
      ])
    }),
  )

  it(
    'are read again when they change, both at once or one after the other',
    inFolder(async (folder) => {
      await folder.write('shop.crt', one.cert)
      await folder.write('shop.key', one.key)
      await folder.watch()
      assert.deepEqual(secretsOf(folder), { 'default/shop': '11' })
      await folder.replace('shop.crt', two.cert)
      await folder.replace('shop.key', two.key)
      await untilSecretsAre(folder, { 'default/shop': '22' })
      await folder.write('shop.crt', one.cert)
      await untilSecretsAre(folder, { 'default/shop': '12' })
      await folder.write('shop.key', one.key)
      await untilSecretsAre(folder, { 'default/shop': '11' })
      await folder.remove('shop.key')
      await untilSecretsAre(folder, {})
      await folder.write('shop.key', two.key)
      await untilSecretsAre(folder, { 'default/shop': '12' })
    }),
  )

  it(
    'are read through the links of a mounted Secret, which are replaced together',
    inFolder(async (folder) => {
      const version = async (name: string, { cert, key }: typeof one) => {
        await folder.write(`m/..${name}/tls.crt`, cert)
        await folder.write(`m/..${name}/tls.key`, key)
        await symlink(`..${name}`, folder.at('m/..next'))
        await rename(folder.at('m/..next'), folder.at('m/..data'))
      }
      await mkdir(folder.at('m'), { recursive: true })
      await version('1', one)
      for (const file of ['tls.crt', 'tls.key']) await symlink(`..data/${file}`, folder.at('m', file))
      await folder.watch()
      assert.deepEqual(secretsOf(folder), { 'default/m': '11' })
      await version('2', two)
      await untilSecretsAre(folder, { 'default/m': '22' })
    }),
  )

  it(
    'never show a part of the key in a problem, and are a conflict with a Secret of the same name',
    inFolder(async (folder) => {
      await folder.write('shop.crt', one.cert)
      await folder.write('shop.key', one.key)
      const metadata = { name: 'shop', namespace: 'default' }
      await folder.write('z.yaml', stringify({ apiVersion: 'v1', kind: 'Secret', metadata, data: {} }))
      await folder.watch()
      assert.deepEqual(
        folder.heard.problemList.map(({ reason }) => reason),
        ['DefinedTwice'],
      )
      await folder.write('shop.key', Buffer.from([0xff, 0xfe, 0x00]))
      await eventually(() => folder.heard.problemList.length === 2, 'both problems')
      assert.ok(!JSON.stringify(folder.heard.problemList).includes(one.key.slice(40, 60)))
      assert.deepEqual(secretsOf(folder), { 'default/shop': '11' }, 'its last content stays')
    }),
  )
})
