import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { chmod, mkdir, open, readlink, rename, rm, symlink } from 'node:fs/promises'
import { createServer } from 'node:net'
import { after, before, describe, it } from 'node:test'
import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
import { stringify } from 'yaml'
import { route } from '../../suite/source.ts'
import { TemporaryFolder } from './temporary-folder.ts'

const yaml = (name: string, body?: string) => stringify(route(name, body))

/** Each test in a folder of its own. */
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

describe('what a folder source reads', () => {
  it(
    'reads YAML and JSON, several documents per file, Lists, and subfolders',
    inFolder(async (folder) => {
      await folder.write('one.yaml', `${yaml('a')}---\n# nothing\n---\n${yaml('b')}`)
      await folder.write('two.yml', stringify({ apiVersion: 'v1', kind: 'List', items: [route('c'), route('d')] }))
      await folder.write('deep/er/three.json', JSON.stringify(route('e')))
      await folder.write('deep/list.json', JSON.stringify({ kind: 'List', apiVersion: 'v1', items: [route('f')] }))
      await folder.write('notes.txt', yaml('no'))
      await folder.watch()
      const names = [...folder.heard.objects.keys()].sort()
      assert.deepEqual(
        names,
        ['a', 'b', 'c', 'd', 'e', 'f'].map((name) => `Route shop/${name}`),
      )
      assert.deepEqual(folder.heard.problemList, [])
    }),
  )

  it(
    'defaults the namespace to `default`, and merges stringData like the API server',
    inFolder(async (folder) => {
      const secret = {
        apiVersion: 'v1',
        kind: 'Secret',
        metadata: { name: 's' },
        data: { a: 'QQ==', b: 'Qg==' },
        stringData: { b: 'ü' },
      }
      await folder.write('s.yaml', stringify(secret))
      await folder.watch()
      assert.deepEqual(folder.heard.objects.get('Secret default/s'), {
        apiVersion: 'v1',
        kind: 'Secret',
        metadata: { name: 's', namespace: 'default' },
        data: { a: 'QQ==', b: Buffer.from('ü').toString('base64') },
      })
    }),
  )

  it(
    'ignores hidden files and temporary files of editors',
    inFolder(async (folder) => {
      for (const name of [
        '.a.yaml',
        'a.yaml.swp',
        'a.yaml~',
        '#a.yaml#',
        '.#a.yaml',
        '4913',
        'a.yaml.tmp',
        '.git/a.yaml',
      ])
        await folder.write(name, 'not: [valid')
      await folder.write('a.yaml', yaml('a'))
      await folder.watch()
      await folder.write('.b.yaml', 'not: [valid')
      await folder.write('b.yaml~', 'not: [valid')
      await folder.write('b.yaml', yaml('b'))
      await folder.heard.untilHas('Route shop/b')
      assert.equal(folder.heard.objects.size, 2)
      assert.deepEqual(folder.heard.problemList, [])
    }),
  )

  it(
    'never opens a FIFO or a socket, which would block the thread pool, and reports them',
    inFolder(async (folder) => {
      for (let i = 0; i < 5; i++) execFileSync('mkfifo', [folder.at(`pipe${i}.yaml`)])
      const server = createServer().listen(folder.at('socket.yaml'))
      try {
        await folder.write('a.yaml', yaml('a'))
        await folder.watch()
        assert.ok(folder.heard.objects.has('Route shop/a'))
        assert.equal(folder.heard.problemList.filter(({ message }) => message.includes('a FIFO')).length, 5)
        assert.equal(folder.heard.problemList.filter(({ message }) => message.includes('a socket')).length, 1)
        assert.ok((await promisify(gzip)('free')).length > 0)
      } finally {
        server.close()
      }
    }),
  )

  it(
    'reports an unknown kind, and serves the rest of the file',
    inFolder(async (folder) => {
      const text = `apiVersion: apps/v1\nkind: Deployment\nmetadata: { name: d }\n---\n${yaml('a')}`
      await folder.write('a.yaml', text)
      await folder.watch()
      assert.ok(folder.heard.objects.has('Route shop/a'))
      const [problem, ...more] = folder.heard.problemList
      assert.deepEqual(more, [])
      assert.equal(problem?.severity, 'warning')
      assert.equal(problem?.reason, 'UnknownKind')
      assert.deepEqual(problem?.object, { kind: 'Deployment', key: 'default/d' })
      assert.deepEqual(problem?.location, { file: folder.at('a.yaml'), line: 2, column: 1 })
    }),
  )

  it(
    'warns of a scalar that kubectl reads differently, with its location',
    inFolder(async (folder) => {
      await folder.write('a.yaml', yaml('a').replace('body: hello', 'body: off'))
      await folder.watch()
      const problem = await folder.heard.problem('ReadDifferently')
      assert.equal(problem.severity, 'warning')
      assert.deepEqual(problem.object, { kind: 'Route', key: 'shop/a' })
      assert.equal(problem.location?.line, 11)
      assert.match(problem.message, /`off` as the boolean false.*quotes/)
      assert.ok(JSON.stringify(folder.heard.objects.get('Route shop/a')).includes('"body":"off"'))
    }),
  )
})

describe('what a folder source never reveals', () => {
  it(
    'does not include the value of a Secret in a problem',
    inFolder(async (folder) => {
      const secret = 'apiVersion: v1\nkind: Secret\nmetadata: { name: s }\nstringData:\n'
      await folder.write('a.yaml', `${secret}  password: 0777\n`)
      await folder.write('b.yaml', `${secret}  password: "top" secret\n  other: {\n]0777 secret\n`)
      await folder.watch()
      assert.ok(folder.heard.problemList.length >= 2)
      assert.ok(folder.heard.problemList.some(({ reason }) => reason === 'ReadDifferently'))
      for (const { message } of folder.heard.problemList) assert.doesNotMatch(message, /0777|511|top|secret/)
    }),
  )
})

describe('how a folder source follows changes', () => {
  it(
    'detects a file written in place, replaced by a rename, and deleted',
    inFolder(async (folder) => {
      const { heard } = folder
      const has = (text: string) => JSON.stringify(heard.objects.get('Route shop/a') ?? '').includes(text)
      await folder.watch()
      await folder.write('a.yaml', yaml('a', 'one'))
      await heard.until(() => has('one'), 'the first version')
      await folder.write('a.yaml', yaml('a', 'two'))
      await heard.until(() => has('two'), 'the version written in place')
      await folder.replace('a.yaml', yaml('a', 'three'))
      await heard.until(() => has('three'), 'the version moved into place')
      await folder.remove('a.yaml')
      await heard.untilGone('Route shop/a')
    }),
  )

  it(
    'detects folders that are created, moved and deleted with their content',
    inFolder(async (folder) => {
      await folder.watch()
      await folder.write('x/y/a.yaml', yaml('a'))
      await folder.heard.untilHas('Route shop/a')
      await folder.write('x/y/b.yaml', yaml('b'))
      await folder.heard.untilHas('Route shop/b')
      await rename(folder.at('x'), folder.at('z'))
      await folder.write('z/y/c.yaml', yaml('c'))
      await folder.heard.untilHas('Route shop/c')
      // The moved files say what they said before.
      assert.ok(folder.heard.objects.has('Route shop/a') && folder.heard.objects.has('Route shop/b'))
      await folder.remove('z')
      await folder.heard.until(() => folder.heard.objects.size === 0, 'all gone')
      await folder.write('z/y/a.yaml', yaml('a', 'again'))
      await folder.heard.untilHas('Route shop/a')
      await folder.write('z/y/a.yaml', yaml('a', 'and again'))
      await folder.heard.until(
        () => JSON.stringify([...folder.heard.objects.values()]).includes('and again'),
        'a change',
      )
    }),
  )

  it(
    'emits nothing when a file is renamed',
    inFolder(async (folder) => {
      await folder.write('a.yaml', yaml('a'))
      await folder.watch()
      await rename(folder.at('a.yaml'), folder.at('z.yaml'))
      await folder.write('sentinel.yaml', yaml('sentinel'))
      await folder.heard.untilHas('Route shop/sentinel')
      await rm(folder.at('sentinel.yaml'))
      await folder.heard.untilGone('Route shop/sentinel')
      assert.deepEqual(
        folder.heard.events.filter(({ key }) => key === 'shop/a').map(({ type }) => type),
        ['upsert'],
      )
      assert.deepEqual(folder.heard.problemList, [])
    }),
  )

  it(
    'follows the swapped `..data` link of a mounted ConfigMap',
    inFolder(async (folder) => {
      const version = async (name: string, body: string) => {
        await folder.write(`${name}/a.yaml`, yaml('a', body))
        await symlink(name, folder.at('..data_tmp'))
        await rename(folder.at('..data_tmp'), folder.at('..data'))
      }
      await version('..2026_1', 'one')
      await symlink('..data/a.yaml', folder.at('a.yaml'))
      await folder.watch()
      assert.equal(folder.heard.objects.size, 1)
      await version('..2026_2', 'two')
      await rm(folder.at('..2026_1'), { recursive: true })
      const text = () => JSON.stringify(folder.heard.objects.get('Route shop/a'))
      await folder.heard.until(() => text().includes('two'), 'the second version')
      await version('..2026_3', 'three')
      await folder.heard.until(() => text().includes('three'), 'the third version')
      assert.equal(await readlink(folder.at('..data')), '..2026_3')
      assert.ok(folder.heard.events.every(({ type }) => type === 'upsert'))
    }),
  )

  it(
    'detects a write to the target of a link',
    inFolder(async (folder) => {
      await folder.write('elsewhere/a.yaml', yaml('a', 'one'))
      await mkdir(folder.at('config'))
      await symlink('../elsewhere/a.yaml', folder.at('config/a.yaml'))
      await folder.watch({}, folder.at('config'))
      await folder.write('elsewhere/a.yaml', yaml('a', 'two'))
      await folder.heard.until(() => JSON.stringify([...folder.heard.objects.values()]).includes('two'), 'the change')
    }),
  )

  it(
    'follows a root that is a link when it is swapped',
    inFolder(async (folder) => {
      await folder.write('v1/a.yaml', yaml('a', 'one'))
      await folder.write('v2/a.yaml', yaml('a', 'two'))
      await symlink('v1', folder.at('current'))
      await folder.watch({}, folder.at('current'))
      await symlink('v2', folder.at('next'))
      await rename(folder.at('next'), folder.at('current'))
      await folder.heard.until(
        () => JSON.stringify([...folder.heard.objects.values()]).includes('two'),
        'the other folder',
      )
    }),
  )

  it(
    'combines a burst of changes into one call',
    inFolder(async (folder) => {
      await folder.watch({ quiet: 150, maxHold: 5_000 })
      await Promise.all(Array.from({ length: 300 }, (_, i) => folder.write(`${i % 7}/r${i}.yaml`, yaml(`r${i}`))))
      await folder.heard.until(() => folder.heard.objects.size === 300, 'all routes')
      assert.deepEqual(
        folder.heard.calls.map((events) => events.length),
        [300],
      )
    }),
  )

  it(
    'loses nothing while every file is rewritten in place repeatedly',
    inFolder(async (folder) => {
      const names = Array.from({ length: 20 }, (_, i) => `r${i}`)
      // Large enough that a write takes more than one call of the system.
      const text = (name: string, round: number) => `${yaml(name, `round ${round}`)}# ${'padding '.repeat(25_000)}\n`
      for (const name of names) await folder.write(`${name}.yaml`, text(name, 0))
      await folder.watch()
      for (let round = 1; round <= 25; round++)
        for (const name of names) await folder.write(`${name}.yaml`, text(name, round))
      await folder.heard.until(
        () =>
          names.every((name) => JSON.stringify(folder.heard.objects.get(`Route shop/${name}`)).includes('round 25')),
        'the last round',
      )
      assert.ok(
        folder.heard.events.every(({ type }) => type === 'upsert'),
        'no object was ever gone',
      )
      await folder.heard.untilWell()
    }),
  )

  it(
    'detects unreported changes by polling, and a write of the same length within the same timestamp',
    inFolder(async (folder) => {
      await folder.write('a.yaml', yaml('a', 'one'))
      // A file system that reports nothing, as some network ones: the watch is real, its reports are dropped.
      const { watch } = await import('node:fs')
      await folder.watch({ pollInterval: 50, watch: (path) => watch(path, () => {}) })
      await folder.write('a.yaml', yaml('a', 'two'))
      await folder.heard.until(() => JSON.stringify([...folder.heard.objects.values()]).includes('two'), 'the change')
      await folder.write('b.yaml', yaml('b'))
      await folder.heard.untilHas('Route shop/b')
      await folder.remove('a.yaml')
      await folder.heard.untilGone('Route shop/a')
      assert.deepEqual(folder.heard.problemList, [])
    }),
  )

  it(
    'reports when the system has no watches left, polls, and watches again when it has',
    inFolder(async (folder) => {
      const { watch } = await import('node:fs')
      let exhausted = true
      await folder.watch({
        pollInterval: 50,
        watch: (path, listener) => {
          if (exhausted)
            throw Object.assign(new Error('System limit for number of file watchers reached'), { code: 'ENOSPC' })
          return watch(path, listener)
        },
      })
      const problem = await folder.heard.problem('WatchUnavailable')
      assert.equal(problem.severity, 'warning')
      assert.match(problem.message, /max_user_watches/)
      await folder.write('a.yaml', yaml('a'))
      await folder.heard.untilHas('Route shop/a')
      exhausted = false
      await folder.heard.untilWell()
    }),
  )
})

describe('what a folder source does when something is wrong', () => {
  it(
    'keeps the last good content of a file with a syntax error, reports its location, and continues when it is fixed',
    inFolder(async (folder) => {
      await folder.write('a.yaml', `${yaml('a')}---\n${yaml('b')}`)
      await folder.watch()
      await folder.write('a.yaml', `${yaml('a', 'new')}---\nkind: Route\nkind: Route\n`)
      const problem = await folder.heard.problem('Syntax')
      assert.equal(problem.location?.file, folder.at('a.yaml'))
      assert.equal(problem.location?.line, 14)
      assert.match(problem.message, /last good version keeps serving: Route shop\/b\./)
      // One document is broken, the other one is not.
      assert.ok(JSON.stringify(folder.heard.objects.get('Route shop/a')).includes('new'))
      assert.ok(folder.heard.objects.has('Route shop/b'))
      await folder.write('a.yaml', yaml('a', 'new'))
      await folder.heard.untilGone('Route shop/b')
      await folder.heard.untilWell()
    }),
  )

  it(
    'does not accept a file that is being written until it is unchanged',
    inFolder(async (folder) => {
      const [first, second] = [`${yaml('a')}---\n`, yaml('b')]
      await folder.write('a.yaml', first + second)
      await folder.watch({ settle: 400 })
      const file = await open(folder.at('a.yaml'), 'w')
      await file.write(first)
      // Long enough for the first part alone to be read and doubted.
      await folder.write('sentinel.yaml', yaml('sentinel'))
      await folder.heard.untilHas('Route shop/sentinel')
      await file.write(second.replace('hello', 'changed'))
      await file.close()
      await folder.heard.until(() => JSON.stringify([...folder.heard.objects.values()]).includes('changed'), 'the rest')
      assert.ok(folder.heard.events.every(({ type }) => type === 'upsert'))
      assert.equal(folder.heard.problemCalls, 0)
    }),
  )

  it(
    'treats an empty file as an error, not as a deletion',
    inFolder(async (folder) => {
      await folder.write('a.yaml', yaml('a'))
      await folder.write('empty-from-the-start.yaml', '')
      await folder.watch()
      assert.deepEqual(folder.heard.problemList, [])
      await folder.write('a.yaml', '')
      const problem = await folder.heard.problem('Empty')
      assert.match(problem.message, /Delete it to remove its objects.*Route shop\/a/)
      assert.ok(folder.heard.objects.has('Route shop/a'))
      await folder.write('a.yaml', '# nothing any more\n')
      await folder.heard.untilGone('Route shop/a')
      await folder.heard.untilWell()
    }),
  )

  for (const [what, content, reason] of [
    ['binary', Buffer.from([0x7f, 0x45, 0x4c, 0x46, 0, 1, 2]), 'NotText'],
    ['UTF-16', Buffer.from('\ufeffkind: Route\n', 'utf16le'), 'NotText'],
    ['not valid UTF-8', Buffer.from([0x6b, 0xff, 0xfe, 0x0a]), 'NotText'],
    ['50 MB large', Buffer.alloc(50 * 1024 * 1024, 'a'), 'TooLarge'],
    ['one document of 3 MiB', `kind: ConfigMap\ndata:\n  a: ${'x'.repeat(3 * 1024 * 1024)}\n`, 'TooLarge'],
  ] as const)
    it(
      `keeps what a file said that is now ${what}`,
      inFolder(async (folder) => {
        await folder.write('a.yaml', yaml('a'))
        await folder.write('b.yaml', yaml('b'))
        await folder.watch()
        await folder.write('a.yaml', content as string)
        const problem = await folder.heard.problem(reason)
        assert.equal(problem.location?.file, folder.at('a.yaml'))
        assert.match(problem.message, /keeps serving: Route shop\/a\./)
        await folder.write('b.yaml', yaml('b', 'goes on'))
        await folder.heard.until(
          () => JSON.stringify([...folder.heard.objects.values()]).includes('goes on'),
          'the other file',
        )
        assert.ok(folder.heard.objects.has('Route shop/a'))
        await folder.write('a.yaml', yaml('a'))
        await folder.heard.untilWell()
      }),
    )

  it(
    'has no room for a file that takes much more than its text, while others act, until one of them makes room',
    inFolder(async (folder) => {
      // Text of a few thousand bytes each; an empty object takes twenty times what is written.
      const dense = (name: string, count: number) =>
        JSON.stringify({ ...route(name), spec: { x: Array.from({ length: count }, () => ({})) } })
      await folder.write('a.json', dense('a', 1_000))
      await folder.write('b.json', dense('b', 10))
      await folder.watch({ maxHeldBytes: 150_000, pollInterval: 50 })
      await folder.write('b.json', dense('b', 2_000))
      const problem = await folder.heard.problem('TooLarge')
      assert.equal(problem.location?.file, folder.at('b.json'))
      assert.match(
        problem.message,
        /takes about 0\.1 MiB of memory, .* leave \d+ KiB; .*keeps serving: Route shop\/b\./,
      )
      await folder.write('c.yaml', yaml('c'))
      await folder.heard.until(() => folder.heard.objects.has('Route shop/c'), 'the other file')
      const kept = folder.heard.objects.get('Route shop/b') as { readonly spec: { readonly x: readonly unknown[] } }
      assert.equal(kept.spec.x.length, 10)
      await folder.write('a.json', dense('a', 10))
      await folder.heard.untilWell()
      await folder.heard.until(
        () => JSON.stringify(folder.heard.objects.get('Route shop/b')).length > 2_000,
        'the file that waited for room',
      )
    }),
  )

  it(
    'tells a hundred problems of a document, and how many more there are',
    inFolder(async (folder) => {
      const said = Array.from({ length: 5_000 }, () => 'on').join(', ')
      await folder.write('a.yaml', `${yaml('a')}---\n${yaml('b')}x: [${said}]\n`)
      await folder.watch()
      assert.equal(folder.heard.problemList.length, 100)
      assert.match(folder.heard.problemList.at(-1)!.message, / There are 4900 more problems in this document\.$/)
      assert.ok(folder.heard.objects.has('Route shop/b'))
    }),
  )

  it(
    'uses the first of two files that define an object, reports both, and falls back to the other',
    inFolder(async (folder) => {
      await folder.write('b.yaml', yaml('a', 'from b'))
      await folder.watch()
      await folder.write('a.yaml', `# one line\n${yaml('a', 'from a')}`)
      const problem = await folder.heard.problem('DefinedTwice')
      assert.equal(problem.location?.file, folder.at('b.yaml'))
      assert.ok(problem.message.includes(`${folder.at('a.yaml')}:2`))
      const text = () => JSON.stringify(folder.heard.objects.get('Route shop/a'))
      assert.ok(text().includes('from a'))
      await folder.remove('a.yaml')
      await folder.heard.until(() => text().includes('from b'), 'the other file to take over')
      await folder.heard.untilWell()
      assert.ok(
        folder.heard.events.every(({ type }) => type === 'upsert'),
        'the object was never gone',
      )
    }),
  )

  it(
    'rejects a link to an ancestor, and reads a folder with two paths once',
    inFolder(async (folder) => {
      await folder.write('real/a.yaml', yaml('a'))
      await symlink('..', folder.at('real/up'))
      await symlink('real', folder.at('also'))
      await symlink('loop', folder.at('loop'))
      await folder.watch()
      assert.equal(folder.heard.objects.size, 1)
      const links = folder.heard.problemList.map(
        ({ reason, location }) => `${reason} ${location?.file.slice(folder.path.length)}`,
      )
      assert.deepEqual(links, ['BrokenLink /also', 'BrokenLink /loop', 'BrokenLink /real/up'])
    }),
  )

  it(
    'keeps objects read through a link that is broken now, and deletes them with the link',
    inFolder(async (folder) => {
      await folder.write('.store/a.yaml', yaml('a'))
      await symlink('.store/a.yaml', folder.at('a.yaml'))
      await folder.watch()
      await rm(folder.at('.store/a.yaml'))
      await folder.heard.problem('BrokenLink')
      assert.ok(folder.heard.objects.has('Route shop/a'))
      await rm(folder.at('a.yaml'))
      await folder.heard.untilGone('Route shop/a')
      await folder.heard.untilWell()
    }),
  )

  it(
    'waits for a folder that does not exist yet, through all its ancestors',
    inFolder(async (folder) => {
      const source = folder.source({}, folder.at('x/y/z'))
      source.start(folder.heard)
      const problem = await folder.heard.problem('FolderMissing')
      assert.match(problem.message, /does not exist.*create it/)
      assert.equal(folder.heard.syncedAfter, null)
      await folder.write('x/y/z/a.yaml', yaml('a'))
      await folder.heard.untilHas('Route shop/a')
      await folder.heard.untilSynced()
      await folder.heard.untilWell()
    }),
  )

  it(
    'keeps all objects while the folder is missing, and continues when it reappears',
    inFolder(async (folder) => {
      await folder.write('config/a.yaml', yaml('a'))
      await folder.write('config/sub/b.yaml', yaml('b'))
      await folder.watch({}, folder.at('config'))
      await rename(folder.at('config'), folder.at('moved'))
      const problem = await folder.heard.problem('FolderMissing')
      assert.match(problem.message, /last content keeps serving \(2 objects\)/)
      await mkdir(folder.at('config'))
      // A slow copy: the files come back one after the other, and none counts as deleted meanwhile.
      await folder.heard.untilWell()
      await folder.write('config/a.yaml', yaml('a'))
      await folder.write('config/sub/b.yaml', yaml('b', 'changed'))
      await folder.heard.until(
        () => JSON.stringify([...folder.heard.objects.values()]).includes('changed'),
        'the change',
      )
      assert.ok(folder.heard.events.every(({ type }) => type === 'upsert'))
      await folder.remove('config')
      await folder.heard.problem('FolderMissing')
      assert.equal(folder.heard.objects.size, 2)
    }),
  )

  it(
    'reports the remedy when its path is a file',
    inFolder(async (folder) => {
      await folder.write('a.yaml', yaml('a'))
      folder.source({}, folder.at('a.yaml')).start(folder.heard)
      const problem = await folder.heard.problem('FolderMissing')
      assert.match(problem.message, /a file, not a folder.*--config/)
    }),
  )
})

/** Root may read everything: a user without rights is needed to be refused anything. */
describe('what a folder source does without permission', () => {
  const asRoot = process.getuid?.() === 0
  before(() => {
    if (asRoot) process.seteuid!(65_534)
  })
  after(() => {
    if (asRoot) process.seteuid!(0)
  })

  it(
    'keeps the objects of a file or subfolder that became unreadable',
    inFolder(async (folder) => {
      await folder.write('a.yaml', yaml('a'))
      await folder.write('sub/b.yaml', yaml('b'))
      await folder.watch({ pollInterval: 50 })
      await chmod(folder.at('a.yaml'), 0)
      await chmod(folder.at('sub'), 0)
      await folder.heard.until(() => folder.heard.problemList.length === 2, 'two problems')
      for (const { reason, message } of folder.heard.problemList) {
        assert.equal(reason, 'Unreadable')
        assert.match(message, /Permission denied/)
      }
      assert.equal(folder.heard.objects.size, 2)
      await chmod(folder.at('a.yaml'), 0o644)
      await chmod(folder.at('sub'), 0o755)
      await folder.heard.untilWell()
      assert.ok(folder.heard.events.every(({ type }) => type === 'upsert'))
    }),
  )

  it(
    'waits for a folder in an unreadable folder',
    inFolder(async (folder) => {
      await folder.write('closed/config/a.yaml', yaml('a'))
      await chmod(folder.at('closed'), 0)
      folder.source({ pollInterval: 50 }, folder.at('closed/config')).start(folder.heard)
      assert.match((await folder.heard.problem('FolderMissing')).message, /Permission denied/)
      await chmod(folder.at('closed'), 0o755)
      await folder.heard.untilHas('Route shop/a')
      await folder.heard.untilWell()
    }),
  )

  it(
    'serves the rest when one file is unreadable from the start',
    inFolder(async (folder) => {
      await folder.write('a.yaml', yaml('a'))
      await folder.write('b.yaml', yaml('b'))
      await chmod(folder.at('b.yaml'), 0)
      await folder.watch()
      assert.deepEqual([...folder.heard.objects.keys()], ['Route shop/a'])
      assert.equal((await folder.heard.problem('Unreadable')).location?.file, folder.at('b.yaml'))
    }),
  )
})

describe('how a folder source locates fields', () => {
  it(
    'locates fields in YAML, in a document further down, in a List and in JSON',
    inFolder(async (folder) => {
      const filler = Array.from({ length: 400 }, (_, i) => route(`filler${i}`))
      await folder.write('a.yaml', `# comment\n${yaml('a')}---\n${yaml('b')}`)
      await folder.write('l.yaml', stringify({ apiVersion: 'v1', kind: 'List', items: [...filler, route('c')] }))
      await folder.write('j.json', JSON.stringify(route('d'), null, 2))
      const source = await folder.watch()
      assert.deepEqual(folder.heard.problemList, [])
      const at = (name: string, path: (string | number)[]) => {
        const place = source.locate('Route', `shop/${name}`, path)!
        return [place.file.slice(folder.path.length + 1), place.line, place.column]
      }
      assert.deepEqual(at('a', ['kind']), ['a.yaml', 3, 1])
      assert.deepEqual(at('b', ['spec', 'rules', 0, 'respond', 'body']), ['a.yaml', 24, 9])
      assert.deepEqual(at('b', ['spec', 'rules', 0, 'missing', 'x']), ['a.yaml', 21, 7])
      const line = (i: number) => 4 + i * 11
      assert.deepEqual(at('filler7', ['metadata', 'name']), ['l.yaml', line(7) + 3, 7])
      assert.deepEqual(at('c', ['spec', 'rules', 0, 'name']), ['l.yaml', line(400) + 7, 11])
      assert.deepEqual(at('d', ['spec', 'rules', 0, 'respond', 'statusCode']), ['j.json', 13, 11])
      assert.equal(source.locate('Route', 'shop/none', []), undefined)
      const origin = folder.heard.events.find(({ key }) => key === 'shop/c')
      assert.ok(origin?.type === 'upsert' && 'line' in origin.origin && origin.origin.line === line(400))
    }),
  )

  it(
    'locates an object that only moved',
    inFolder(async (folder) => {
      await folder.write('a.yaml', yaml('a'))
      const source = await folder.watch()
      await folder.write('a.yaml', `# one\n# two\n${yaml('a')}---\n${yaml('b')}`)
      await folder.heard.untilHas('Route shop/b')
      assert.equal(source.locate('Route', 'shop/a', ['kind'])?.line, 4)
      assert.equal(folder.heard.events.filter(({ key }) => key === 'shop/a').length, 1)
    }),
  )
})

describe('how fast a folder source is', () => {
  it(
    'emits a changed file within a tenth of a second',
    inFolder(async (folder) => {
      await folder.write('a.yaml', yaml('a', 'start'))
      for (let i = 0; i < 50; i++) await folder.write(`other${i}.yaml`, yaml(`other${i}`))
      await folder.watch()
      for (const [how, write] of [
        ['written in place', (text: string) => folder.write('a.yaml', text)],
        ['moved into place', (text: string) => folder.replace('a.yaml', text)],
      ] as const) {
        const times: number[] = []
        for (let i = 0; i < 60; i++) {
          const mark = `${how} ${i}.`
          const begun = performance.now()
          await write(yaml('a', mark))
          await folder.heard.until(() => JSON.stringify(folder.heard.objects.get('Route shop/a')).includes(mark), mark)
          times.push(performance.now() - begun)
        }
        times.sort((a, b) => a - b)
        const [median, high] = [times[30]!, times[59]!]
        console.log(`change → changed, ${how}: p50 ${median.toFixed(1)} ms, p99 ${high.toFixed(1)} ms`)
        assert.ok(median < 50, `p50 ${median}`)
      }
    }),
  )

  it(
    'does not block the event loop while it reads a thousand routes, and parses only the chunks of an edit',
    inFolder(async (folder) => {
      const texts = Array.from({ length: 1_000 }, (_, i) => yaml(`r${i}`))
      await folder.write('all.yaml', texts.join('---\n'))
      let longest = 0
      let last = performance.now()
      let turning = true
      const turn = () => {
        const now = performance.now()
        longest = Math.max(longest, now - last)
        last = now
        if (turning) setImmediate(turn)
      }
      const begun = performance.now()
      turn()
      await folder.watch()
      turning = false
      const first = performance.now() - begun
      texts[500] = yaml('r500', 'edited')
      const edited = performance.now()
      await folder.write('all.yaml', texts.join('---\n'))
      await folder.heard.until(
        () => JSON.stringify(folder.heard.objects.get('Route shop/r500')).includes('edited'),
        'the edit',
      )
      const second = performance.now() - edited
      console.log(
        `1,000 routes in one file: ${first.toFixed(0)} ms, longest turn ${longest.toFixed(1)} ms; one edited: ${second.toFixed(0)} ms`,
      )
      assert.equal(folder.heard.calls.at(-1)?.length, 1)
      assert.ok(second < first / 2, `an edit takes ${second} ms, all of it ${first} ms`)
    }),
  )
})
