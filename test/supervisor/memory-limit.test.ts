import assert from 'node:assert/strict'
import { totalmem } from 'node:os'
import { describe, it } from 'node:test'
import { cgroupLimit, memoryLimit } from '../../src/supervisor/memory-limit.ts'

const MiB = 1024 * 1024
const V2_MOUNT = '30 23 0:26 ROOT /sys/fs/cgroup ro,nosuid shared:4 - cgroup2 cgroup rw,nsdelegate'
const V1_MOUNT = '36 29 0:32 ROOT /sys/fs/cgroup/memory ro,nosuid - cgroup cgroup rw,memory'
const CPU_MOUNT = '35 29 0:31 / /sys/fs/cgroup/cpu ro - cgroup cgroup rw,cpu,cpuacct'

function system(own: string, mounts: readonly string[], files: Readonly<Record<string, string>>) {
  const all: Readonly<Record<string, string>> = {
    '/proc/self/cgroup': `${own}\n`,
    '/proc/self/mountinfo': `${mounts.join('\n')}\n`,
    ...files,
  }
  return (path: string): string | undefined => all[path]
}

describe('the memory limit', () => {
  const cases = {
    'of a container with a namespace of its own, version 2': [
      system('0::/', [V2_MOUNT.replace('ROOT', '/')], { '/sys/fs/cgroup/memory.max': '536870912\n' }),
      512,
    ],
    'of a pod above its container, version 2': [
      system('0::/kubepods/pod1/ctr', [V2_MOUNT.replace('ROOT', '/')], {
        '/sys/fs/cgroup/kubepods/pod1/ctr/memory.max': 'max\n',
        '/sys/fs/cgroup/kubepods/pod1/memory.max': '402653184\n',
        '/sys/fs/cgroup/kubepods/memory.max': '8589934592\n',
      }),
      384,
    ],
    'where the kernel throttles below the hard limit': [
      system('0::/a', [V2_MOUNT.replace('ROOT', '/')], {
        '/sys/fs/cgroup/a/memory.max': '1073741824\n',
        '/sys/fs/cgroup/a/memory.high': '805306368\n',
      }),
      768,
    ],
    'where the mount shows our own group as its root': [
      system('4:memory:/docker/abc', [CPU_MOUNT, V1_MOUNT.replace('ROOT', '/docker/abc')], {
        '/sys/fs/cgroup/memory/memory.limit_in_bytes': '268435456\n',
      }),
      256,
    ],
    'of a nested group, version 1': [
      system('5:cpu:/x\n4:memory:/a/b', [CPU_MOUNT, V1_MOUNT.replace('ROOT', '/')], {
        '/sys/fs/cgroup/memory/a/b/memory.limit_in_bytes': '9223372036854771712\n',
        '/sys/fs/cgroup/memory/a/memory.limit_in_bytes': '314572800\n',
      }),
      300,
    ],
    'where the path of another group has the root as a string prefix': [
      system('4:memory:/docker/abcdef', [V1_MOUNT.replace('ROOT', '/docker/abc')], {
        '/sys/fs/cgroup/memory/memory.limit_in_bytes': '104857600\n',
      }),
      100,
    ],
  } as const
  for (const [name, [read, mebibytes]] of Object.entries(cases))
    it(`is found ${name}`, () => assert.equal(cgroupLimit(read) / MiB, mebibytes))

  it('is infinite where no group has a limit, and where there are no groups', () => {
    assert.equal(cgroupLimit(system('0::/', [V2_MOUNT.replace('ROOT', '/')], {})), Number.POSITIVE_INFINITY)
    const v1 = system('4:memory:/', [V1_MOUNT.replace('ROOT', '/')], {
      '/sys/fs/cgroup/memory/memory.limit_in_bytes': '9223372036854771712\n',
    })
    assert.equal(cgroupLimit(v1), Number.POSITIVE_INFINITY)
    assert.equal(
      cgroupLimit(() => undefined),
      Number.POSITIVE_INFINITY,
    )
  })

  const contained = (settings: string) =>
    system('0::/', [V2_MOUNT.replace('ROOT', '/')], { '/sys/fs/cgroup/memory.max': '536870912\n', '/s.yaml': settings })

  it('is the value in the settings', async () => {
    for (const text of ['limits: { memory: 300Mi }', 'limits:\n  memory: 314572800\n', '{"limits":{"memory":"300Mi"}}'])
      assert.deepEqual(
        await memoryLimit('/s.yaml', contained(text)),
        { bytes: 300 * MiB, from: 'settings', cache: 0, files: false },
        text,
      )
  })
  it('comes with the memory of the cache, each for itself', async () => {
    const group = { bytes: 512 * MiB, from: 'cgroup', files: false }
    for (const [text, expected] of [
      ['cache: { memory: 64Mi }', { ...group, cache: 64 * MiB }],
      [
        'limits: { memory: 300Mi }\ncache: { memory: 64Mi }',
        { bytes: 300 * MiB, from: 'settings', cache: 64 * MiB, files: false },
      ],
      ['limits: { memory: lots }\ncache: { memory: 64Mi }', { ...group, cache: 64 * MiB }],
      [
        'limits: { memory: 300Mi }\ncache: { memory: lots }',
        { bytes: 300 * MiB, from: 'settings', cache: 0, files: false },
      ],
      ['cache: # memory', { ...group, cache: 0 }],
      ['stateDirectory: /state', { ...group, cache: 0, files: true }],
      ['stateDirectory: /state\ncache: { files: 1Gi, memory: 64Mi }', { ...group, cache: 64 * MiB, files: true }],
      ['stateDirectory: /state\ncache: { files: 0 }', { ...group, cache: 0 }],
    ] as const)
      assert.deepEqual(await memoryLimit('/s.yaml', contained(text)), expected, text)
  })
  it('has room for the files of the cache where a flag names the state directory', async () => {
    for (const [text, files] of [
      ['', true],
      ['limits: { memory: 512Mi }', true],
      ['memory: [', true],
      ['cache: { files: 1Gi }', true],
      ['cache: { files: 0 }', false],
      ['stateDirectory: /other\ncache: { files: 0 }', false],
    ] as const)
      assert.equal((await memoryLimit('/s.yaml', contained(text), true)).files, files, text)
    assert.equal((await memoryLimit(undefined, contained(''), true)).files, true)
  })
  it('is that of the group where the settings have no valid value', async () => {
    for (const text of [
      '',
      'limits: { memory: 0 }',
      'limits: { memory: lots }',
      'memory: [',
      'limits: # memory',
      '- memory',
    ])
      assert.deepEqual(
        await memoryLimit('/s.yaml', contained(text)),
        { bytes: 512 * MiB, from: 'cgroup', cache: 0, files: false },
        text,
      )
    assert.deepEqual(await memoryLimit(undefined, contained('')), {
      bytes: 512 * MiB,
      from: 'cgroup',
      cache: 0,
      files: false,
    })
  })
  it('is the memory of the machine where nothing else is lower', async () => {
    assert.deepEqual(await memoryLimit(undefined, () => undefined), {
      bytes: totalmem(),
      from: 'machine',
      cache: 0,
      files: false,
    })
  })
})
