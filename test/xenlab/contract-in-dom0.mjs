// Runs in dom0: what every Target promises (test/contract), over the domain whose number is the argument.
import assert from 'node:assert/strict';

/** Our modules as dom0 has them. */
const ours = (path) => import(`/app/dist/${path}`);
const { Registry } = await ours('core/domain/registry.js');
const { openTarget } = await ours('core/target/open.js');
const { MemoryFault } = await ours('symbols/errors.js');

const PAGE = 4096;
const target = await openTarget(`xen:${process.argv[2]}`, { registry: new Registry('/tmp/none') });
const read = (address, length) => {
  const into = new Uint8Array(length);
  target.readPhysical(address, into);
  return into;
};
const faultAt = (address, length, fault) =>
  assert.throws(
    () => read(address, length),
    (error) => error instanceof MemoryFault && error.space === 'physical' && error.address === BigInt(fault),
    `a fault at 0x${fault.toString(16)}`,
  );

assert.equal(target.kind, 'xen');
assert.match(target.description, /this Xen host/);
assert.match(target.identity.uuid, /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
assert.match(target.identity.xenVersion, /^4\.\d+\./);
assert.deepEqual(
  target.vcpus.map(({ id }) => id),
  [0, 1],
);
for (const { registers, missing, online } of target.vcpus) {
  assert.notEqual(registers === undefined, missing === undefined);
  if (online)
    for (const name of ['efer', 'idtr', 'lstar', 'cr3', 'dr7'])
      assert.notEqual(registers[name], undefined, name);
}
for (const text of target.lacks) assert.match(text, /^[\w ,]+: .*\w/);
if (target.vcpus.some(({ registers }) => registers?.efer === undefined))
  assert.match(target.lacks.join(), /EFER/);
assert.ok(target.console?.length > 1000, 'a console log');

let end = 0;
let pages = 0;
for (const [first, count] of target.frames) {
  assert.ok(count > 0 && first >= end, 'frames ascend');
  end = first + count + 1;
  pages += count;
}
assert.ok(pages * PAGE > 90 << 20, `${pages} frames`);
const [[first, count]] = target.frames;
const border = (first + Math.min(count, 40)) * PAGE;
const across = read(border - 3, 6);
assert.deepEqual([...across], [...read(border - 3, 3), ...read(border, 3)]);
assert.equal(read(border, 0).length, 0);
const [last, lastCount] = target.frames.at(-1);
read((last + lastCount) * PAGE - 1, 1);
faultAt((last + lastCount) * PAGE, 1, (last + lastCount) * PAGE);
faultAt((last + lastCount) * PAGE - 2, 4, (last + lastCount) * PAGE);
faultAt(2 ** 51, 8, 2 ** 51);

// The page that CR3 names holds tables: its upper half maps the kernel.
const { cr3 } = target.vcpus[0].registers;
assert.ok(
  read(Number(cr3 & 0xffffffffff000n) + PAGE / 2, PAGE / 2).some((byte) => byte !== 0),
  'page tables',
);
target.close();
assert.throws(() => read(first * PAGE, 1));
target.close();
console.log(
  `${target.vcpus.length} vCPUs, ${pages} frames in ${target.frames.length} runs; lacks ${target.lacks.join('; ') || 'nothing'}`,
);
