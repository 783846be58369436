// SPDX-License-Identifier: (GPL-2.0 OR MIT)
// Panics in the context that the parameter `how` names; the call chain there is known by heart to the test.
#include <linux/bottom_half.h>
#include <linux/delay.h>
#include <linux/hrtimer.h>
#include <linux/interrupt.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/smp.h>
#include <linux/timer.h>
#include <linux/workqueue.h>
#include <asm/nmi.h>

static char *how = "module";
module_param(how, charp, 0);

/* Each level does something after the call, so that none of the calls is a jump. */
static volatile int depth;

/* The compiler is not to see that this never returns. */
static noinline void level3(const char *where)
{
	if (depth >= 0)
		panic("by hand: %s", where);
	depth--;
}

static noinline void level2(const char *where)
{
	depth++;
	level3(where);
	depth--;
}

static noinline void level1(const char *where)
{
	depth++;
	level2(where);
	depth--;
}

static __always_inline void inlined2(const char *where)
{
	depth++;
	level3(where);
	depth--;
}

static __always_inline void inlined1(const char *where)
{
	inlined2(where);
	depth--;
}

static noinline void holds_inlined(const char *where)
{
	depth++;
	inlined1(where);
	depth--;
}

static noinline int jumped_to(const char *where)
{
	level1(where);
	return depth;
}

/* Leaves by a jump: has no frame when jumped_to runs. */
static noinline int tail_calls(const char *where)
{
	depth++;
	return jumped_to(where);
}

/* The call is its last instruction: the return address is behind its end. */
static noinline void never_returns(const char *where)
{
	depth++;
	panic("by hand: %s", where);
}

/* Each handler names its context itself: equal bodies would be folded into one. */
static enum hrtimer_restart on_hrtimer(struct hrtimer *timer)
{
	level1(how);
	return HRTIMER_NORESTART;
}

static struct hrtimer hrtimer;

static void start_hrtimer(void)
{
	hrtimer_init(&hrtimer, CLOCK_MONOTONIC, HRTIMER_MODE_REL_PINNED_HARD);
	hrtimer.function = on_hrtimer;
	hrtimer_start(&hrtimer, ms_to_ktime(5), HRTIMER_MODE_REL_PINNED_HARD);
}

static void on_timer(struct timer_list *timer)
{
	level1("timer");
	depth--;
}

static DEFINE_TIMER(timer, on_timer);

static void on_tasklet(struct tasklet_struct *tasklet)
{
	level1("softirq");
	depth--;
}

static DECLARE_TASKLET(tasklet, on_tasklet);

static void on_work(struct work_struct *work)
{
	level1("work");
	depth--;
}

static DECLARE_WORK(work, on_work);

static void on_other_cpu(void *unused)
{
	level1("vcpu1");
	depth--;
}

static int in_thread(void *unused)
{
	level1("kthread");
	return 0;
}

static int on_nmi(unsigned int type, struct pt_regs *regs)
{
	level1(how);
	return NMI_HANDLED;
}

static noinline void spin(void)
{
	for (;;)
		cpu_relax();
}

/* Runs off the end of its stack: the page fault finds no room, which is a #DF. */
static noinline int overflow(int level)
{
	volatile char frame[512];

	frame[level & 511] = level;
	return overflow(level + 1) + frame[(level + 1) & 511];
}

static noinline void bug(void)
{
	depth++;
	BUG();
}

static noinline void wild_pointer(void)
{
	depth++;
	*(volatile int *)0xdead000 = 1;
}

static int __init contexts_init(void)
{
	pr_info("contexts: %s\n", how);
	if (!strcmp(how, "module"))
		level1(how);
	else if (!strcmp(how, "inlined"))
		holds_inlined(how);
	else if (!strcmp(how, "noreturn"))
		never_returns(how);
	else if (!strcmp(how, "tail"))
		depth += tail_calls(how);
	else if (!strcmp(how, "interrupt")) {
		start_hrtimer();
		spin();
	} else if (!strcmp(how, "idle")) {
		start_hrtimer();
		msleep(1000);
	} else if (!strcmp(how, "timer")) {
		mod_timer(&timer, jiffies + 2);
		spin();
	} else if (!strcmp(how, "softirq")) {
		local_bh_disable();
		tasklet_schedule(&tasklet);
		local_bh_enable();
	} else if (!strcmp(how, "work")) {
		schedule_work(&work);
		flush_work(&work);
	} else if (!strcmp(how, "vcpu1"))
		smp_call_function_single(1, on_other_cpu, NULL, 1);
	else if (!strcmp(how, "kthread")) {
		kthread_run(in_thread, NULL, "contexts");
		msleep(1000);
	} else if (!strcmp(how, "nmi")) {
		register_nmi_handler(NMI_LOCAL, on_nmi, 0, "contexts");
		spin();
	} else if (!strcmp(how, "overflow"))
		depth += overflow(0);
	else if (!strcmp(how, "bug"))
		bug();
	else if (!strcmp(how, "fault"))
		wild_pointer();
	return -EINVAL;
}

module_init(contexts_init);
MODULE_LICENSE("Dual MIT/GPL");
MODULE_DESCRIPTION("Panics by hand in many contexts");
